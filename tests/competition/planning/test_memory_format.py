"""The memory format follows from pairs of trials."""

from collections.abc import Callable

import pytest

from seglight.competition.planning.memory_format import choose_memory_format
from seglight.errors import TrainingError


def steps(*seconds: float) -> Callable[[bool], float]:
    """Trials that take these seconds, contiguous and channels-last in turn."""
    left, formats = list(seconds), [False, True] * (len(seconds) // 2)

    def step(channels_last: bool) -> float:
        assert channels_last is formats.pop(0)
        return left.pop(0)

    return step


@pytest.mark.parametrize(
    ('seconds', 'chosen', 'gains'),
    [
        ((1.3, 1.0, 2.0, 1.6), True, '1.30 and 1.25'),
        ((1.3, 1.0, 1.0, 1.0), False, '1.30 and 1.00'),  # one pair met a busy machine
        ((1.0, 1.4, 1.0, 1.3), False, '0.71 and 0.77'),
    ],
)
def test_channels_last_must_be_faster_in_each_pair(seconds: tuple[float, ...], chosen: bool, gains: str) -> None:
    choice = choose_memory_format(steps(*seconds))
    assert choice.value is chosen
    assert choice.reason == f'channels-last features make a step {gains} times as fast'


@pytest.mark.parametrize('error', [RuntimeError('view size is not compatible'), TrainingError('a step failed')])
def test_a_model_that_does_not_support_it_stays_contiguous(error: Exception) -> None:
    def step(channels_last: bool) -> float:
        if channels_last:
            raise error
        return 1.0

    assert choose_memory_format(step).value is False
