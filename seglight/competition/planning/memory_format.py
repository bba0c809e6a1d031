"""Whether a model trains faster in torch's channels-last memory format, by trials in turn."""

from __future__ import annotations

from collections.abc import Callable

from seglight.competition.planning.plan_file import Choice
from seglight.errors import UserError

KEY = 'model.channels_last'

#: Pairs of trials, and how much faster channels-last must be in each: less is noise on a shared machine.
ROUNDS, GAIN = 2, 1.05


def choose_memory_format(step: Callable[[bool], float]) -> Choice:
    """Return whether to train in channels-last, from steps with and without it.

    Args:
        step: returns the seconds of a step; its argument is whether the model is channels-last.
    """
    gains = []
    for _ in range(ROUNDS):
        contiguous = step(False)
        try:
            gains.append(contiguous / step(True))
        except (UserError, RuntimeError):  # a head whose `view` needs contiguous features
            return Choice(False, 'a step with channels-last features failed')
    reason = f'channels-last features make a step {" and ".join(f"{gain:.2f}" for gain in gains)} times as fast'
    return Choice(min(gains) >= GAIN, reason)
