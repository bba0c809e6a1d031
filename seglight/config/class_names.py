"""The names of classes: how many there may be, and those of a checkpoint beside those that it is used with."""

from __future__ import annotations

from collections.abc import Sequence

from seglight.errors import ConfigError


def order_of(trained: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Return where each wanted class is among the trained ones, if both are the same in another order; else None."""
    if list(trained) == list(wanted) or sorted(trained) != sorted(wanted) or len(set(wanted)) != len(wanted):
        return None
    return [list(trained).index(name) for name in wanted]


def difference(trained: Sequence[str], wanted: Sequence[str]) -> str:
    """Return in words how as many classes differ, empty if they do not."""
    pairs = [(index, *names) for index, names in enumerate(zip(trained, wanted, strict=True)) if names[0] != names[1]]
    if not pairs:
        return ''
    shown = ', '.join(f"{index} is '{old}' there and '{new}' here" for index, old, new in pairs[:3])
    what = 'has the same classes in another order' if order_of(trained, wanted) else 'has other names of classes'
    return f'{what}: {shown}{f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""}'


def check_count(classes: Sequence[str]) -> None:
    """Check that there are at least two classes, and no more than masks of 8 bits tell apart.

    Raises:
        ConfigError: for too few or too many.
    """
    key = 'data.classes'
    if len(classes) == 1:
        name = classes[0]
        both = f'[background, {name}]' if name.lower() != 'background' else f'[{name}, object]'
        raise ConfigError(
            key,
            f"must name what is not '{name}' too: give {both}; a head with one sigmoid channel "
            '(out_channels: 1) also takes two classes',
        )
    if not 2 <= len(classes) <= 255:
        raise ConfigError(key, f'names {len(classes)} classes; 2 to 255 are possible')
