"""Class names: their number and characters, and those of a checkpoint compared with those of the data."""

from __future__ import annotations

from collections.abc import Sequence

from seglight.errors import ConfigError
from seglight.names import has_control_characters

#: Arguments of the data that the model copies, so that users set them only once: the classes and what goes with them.
OF_DATA = ('classes', 'palette', 'ignore_index')


def order_of(trained: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """Return the index of each wanted class in the trained ones, if only the order differs; else None."""
    if list(trained) == list(wanted) or sorted(trained) != sorted(wanted) or len(set(wanted)) != len(wanted):
        return None
    return [list(trained).index(name) for name in wanted]


def difference(trained: Sequence[str], wanted: Sequence[str]) -> str:
    """Return a description of the differences between equally many classes, empty if there are none."""
    pairs = [(index, *names) for index, names in enumerate(zip(trained, wanted, strict=True)) if names[0] != names[1]]
    if not pairs:
        return ''
    shown = ', '.join(f"{index} is '{old}' there and '{new}' here" for index, old, new in pairs[:3])
    summary = 'has the same classes in another order' if order_of(trained, wanted) else 'has other class names'
    return f'{summary}: {shown}{f" and {len(pairs) - 3} more" if len(pairs) > 3 else ""}'


def check_names(classes: Sequence[str]) -> None:
    """Check that there are two to 255 classes, which 8-bit masks can represent, and that lists can show their names.

    Raises:
        ConfigError: for too few or too many, or a name that is empty or has control characters.
    """
    key = 'data.classes'
    if len(classes) == 1:
        name = classes[0]
        both = f'[background, {name}]' if name.lower() != 'background' else f'[{name}, object]'
        raise ConfigError(
            key,
            f"must also name what is not '{name}': use {both}; a head with one sigmoid channel "
            '(out_channels: 1) takes two classes, too',
        )
    if not 2 <= len(classes) <= 255:
        raise ConfigError(key, f'must name 2 to 255 classes, got {len(classes)}')
    for index, name in enumerate(classes):
        if not name.strip():
            raise ConfigError(f'{key}.{index}', f'must be a name, got {name!r}')
        if has_control_characters(name.replace('\t', ' ')):  # a tab harms no list
            raise ConfigError(f'{key}.{index}', f'must not contain control characters or line breaks, got {name!r}')
