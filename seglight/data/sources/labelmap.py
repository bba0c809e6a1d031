"""`labelmap.txt` of CVAT and Datumaro: the colour of each class in masks like Pascal VOC's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seglight.data.sources.base import Context
from seglight.data.sources.categories import category_labels
from seglight.data.sources.paths import read_list
from seglight.errors import DataError

Colour = tuple[int, int, int]


def read_labelmap(path: Path) -> dict[str, Colour]:
    """Read the RGB colour of each name from lines `name:red,green,blue:parts:actions`.

    Raises:
        DataError: for a malformed line, or a duplicate name or colour.
    """
    colours: dict[str, Colour] = {}
    for line in read_list(path):
        if line.startswith('#'):
            continue
        name, colour = _parse(path, line)
        if name in colours:
            raise DataError(f"{path}: '{name}' is listed twice; keep one line")
        twin = next((other for other, known in colours.items() if known == colour), None)
        if twin is not None:
            raise DataError(f"{path}: '{twin}' and '{name}' have the same colour, so masks are ambiguous; change one")
        colours[name] = colour
    if not colours:
        raise DataError(f'{path} lists no class; each line must look like cat:128,0,0::')
    return colours


def _parse(path: Path, line: str) -> tuple[str, Colour]:
    """Return name and colour of a line."""
    name, colour, *_ = [*line.rsplit(':', 3), '', '']
    values = [int(word) for word in colour.split(',') if word.strip().isdecimal()]
    if not name or line.count(':') < 1 or len(values) != 3 or len(colour.split(',')) != 3 or max(values) > 255:
        raise DataError(f"{path}: the line '{line}' must look like cat:128,0,0::, with colours from 0 to 255")
    return name, (values[0], values[1], values[2])


def labels_of_colours(
    path: Path, category_map: Mapping[str, str | None], context: Context
) -> dict[tuple[int, ...], int]:
    """Return the label of each colour of a `labelmap.txt`.

    Raises:
        DataError: if the file is invalid, or has a name that is not a class.
    """
    colours = read_labelmap(path)
    labels = category_labels(list(colours), category_map, context, path)
    return {colour: labels[name] for name, colour in colours.items()}
