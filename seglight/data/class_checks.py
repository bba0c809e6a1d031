"""Checks of class names and RGB colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from seglight.config.class_names import check_names
from seglight.errors import ConfigError


def check_classes(classes: Sequence[str], ignore_index: int) -> None:
    """Check that class names are unique, and that the ignored label is not a class.

    Raises:
        ConfigError: also for too few or too many classes.
    """
    check_names(classes)
    repeated = next((name for name, count in Counter(classes).items() if count > 1), None)
    if repeated is not None:
        raise ConfigError('data.classes', f"names '{repeated}' twice; each class must have a unique name")
    if 0 <= ignore_index < len(classes):
        message = f"is {ignore_index}, the label of the class '{classes[ignore_index]}'"
        cure = (
            f'set it to {len(classes)} to 255; to ignore this label in masks, use label_map: {{{ignore_index}: null}}'
        )
        raise ConfigError('data.ignore_index', f'{message}; {cure}')


def check_palette(palette: Sequence[Sequence[int]] | None, classes: Sequence[str]) -> None:
    """Check that a palette, if given, has an RGB colour for each class.

    Raises:
        ConfigError: if it does not.
    """
    if palette is None:
        return
    if len(palette) != len(classes):
        message = f'has {len(palette)} colours for the {len(classes)} names in data.classes'
        raise ConfigError('data.palette', f'{message}; give one for each, or null to generate them')
    check_colours(palette, 'data.palette')


def check_colours(colours: Sequence[Sequence[int]], key: str) -> None:
    """Check that each colour is three integers from 0 to 255.

    Raises:
        ConfigError: names the first that is not.
    """
    for colour in colours:
        if len(colour) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in colour):
            raise ConfigError(key, f'{list(colour)} is not an RGB colour (three integers from 0 to 255)')
