"""The file of a search: which values each key of a config may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglight.config.arguments import as_word
from seglight.config.files import read_yaml
from seglight.data.arguments import is_number, is_whole
from seglight.errors import ConfigError, UsageError
from seglight.similar import nearest
from seglight.studies import optuna_package

#: Keys of a range, and of a choice.
RANGE, CHOICES = ('low', 'high', 'step', 'log'), 'choices'


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole if both are; on a logarithmic scale, or in steps."""

    low: float
    high: float
    step: float | None = None
    log: bool = False

    @property
    def ends(self) -> list[str]:
        """Values that show whether the key accepts the range, as words of a command line."""
        return [as_word(self.low), as_word(self.high)]

    def distribution(self) -> Any:
        """Return Optuna's distribution."""
        distributions = optuna_package().distributions
        if is_whole(self.low) and is_whole(self.high):
            return distributions.IntDistribution(self.low, self.high, self.log, 1 if self.step is None else self.step)
        return distributions.FloatDistribution(float(self.low), float(self.high), self.log, self.step)


@dataclass(frozen=True)
class Choice:
    """One of several values, of any kind, each as a word of a command line."""

    ends: list[str]

    def distribution(self) -> Any:
        """Return Optuna's distribution."""
        return optuna_package().distributions.CategoricalDistribution(self.ends)


Space = Mapping[str, Range | Choice]


def read_space(path: Path) -> dict[str, Range | Choice]:
    """Read the file of a search: a mapping from dotted keys to `{low, high, step, log}` or `{choices: [...]}`.

    Raises:
        UsageError: names the line of what is wrong.
    """
    if not path.is_file():
        raise UsageError(f'--search {path} does not exist')
    settings = read_yaml(path)
    if not settings.values:
        raise UsageError(f'{path} names no key to search over, for example model.optimizer.lr')
    space: dict[str, Range | Choice] = {}
    for key, values in settings.values.items():
        space[key] = parsed(values, f'{settings.origin((key,))}: {key}')
    return space


def parsed(values: Any, place: str) -> Range | Choice:
    """Return what a key may be.

    Args:
        values: as in the file.
        place: the line and the key, for errors.

    Raises:
        UsageError: if it is neither a range nor a choice.
    """
    if not isinstance(values, dict) or (CHOICES in values) == ('low' in values or 'high' in values):
        raise UsageError(f'{place} must be {{low: NUMBER, high: NUMBER}} or {{choices: [...]}}, got {as_word(values)}')
    known = (CHOICES,) if CHOICES in values else RANGE
    unknown = next((name for name in values if name not in known), None)
    if unknown is not None:
        raise UsageError(f"{place} has the unknown key '{unknown}'{nearest(str(unknown), known)}")
    return _choice(values[CHOICES], place) if CHOICES in values else _range(values, place)


def _choice(choices: Any, place: str) -> Choice:
    if not isinstance(choices, list) or not choices:
        raise UsageError(f'{place}.choices must be a list with at least one value, got {as_word(choices)}')
    words = [as_word(each, sort_keys=False) for each in choices]
    if len(set(words)) < len(words):
        raise UsageError(f'{place}.choices must differ, got {as_word(choices)}')
    return Choice(words)


def _range(values: dict[str, Any], place: str) -> Range:
    low, high, step, log = (values.get(name) for name in RANGE)
    for name in ('low', 'high'):
        if not is_number(values.get(name)):
            raise UsageError(f'{place}.{name} must be a number, got {as_word(values.get(name))}')
    if low is None or high is None or low >= high:
        raise UsageError(f'{place}.high must be above low, got {low} to {high}')
    if log not in (None, True, False):
        raise UsageError(f'{place}.log must be true or false, got {as_word(log)}')
    if log and low <= 0:
        raise UsageError(f'{place}.low must be above 0 with log: true, got {low}')
    if step is None:
        return Range(low, high, None, bool(log))
    whole = is_whole(low) and is_whole(high)
    if not is_number(step) or not 0 < step <= high - low or (whole and not is_whole(step)):
        kind = 'a whole number' if whole else 'a number'
        raise UsageError(f'{place}.step must be {kind} from above 0 to {high - low:g}, got {as_word(step)}')
    if log:
        raise UsageError(f'{place}.step cannot be set with log: true; remove one of them')
    return Range(low, high, step)


def corners(space: Space) -> Sequence[Mapping[str, str]]:
    """Return combinations of words in which each end of each range, and each choice, occurs."""
    count = max(len(each.ends) for each in space.values())
    return [{key: each.ends[min(at, len(each.ends) - 1)] for key, each in space.items()} for at in range(count)]


def flags_of(words: Mapping[str, str]) -> list[str]:
    """Return the flags that set keys."""
    return [f'--{key}={word}' for key, word in words.items()]


def words_of(params: Mapping[str, Any], space: Space) -> dict[str, str]:
    """Return the values of a trial as words of a command line."""
    known = {key: value for key, value in params.items() if key in space}
    return {key: value if isinstance(space[key], Choice) else as_word(value) for key, value in known.items()}


def check_space(space: Space, path: Path, check: Callable[[Sequence[str]], object]) -> None:
    """Check that the config accepts each end of each range, and each choice.

    Args:
        space: of the search.
        path: its file, for errors.
        check: raises a `UserError` for flags that the config does not accept.

    Raises:
        UsageError: names the file and the flag.
    """
    for words in corners(space):
        try:
            check(flags_of(words))
        except ConfigError as error:
            raise UsageError(f'{path}: {error}') from error
