"""Mapping the categories of an annotation tool to the classes of the run."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Literal

from seglight.data.sources.base import Context, Ignored
from seglight.errors import DataError, warn
from seglight.similar import nearest

#: `background` of a source: the first class, unless it has drawn objects.
AUTO = 'auto'


def category_labels(
    names: Iterable[str],
    category_map: Mapping[str, str | None],
    context: Context,
    path: Path,
    drawn: Container[str] | None = None,
) -> dict[str, int]:
    """Return the label of each category.

    Args:
        names: of the categories in the file.
        category_map: classes for categories with other names; None ignores their pixels.
        context: the classes.
        path: the file, for errors.
        drawn: the categories that have objects, if known.

    Raises:
        DataError: for a category that is not a class, or a key of `category_map` that is not in the file.
    """
    classes, known = list(context.classes), list(dict.fromkeys(names))
    for key, value in category_map.items():
        if key not in known:
            raise DataError(f"category_map: {path} has no category '{key}'{nearest(key, known)}")
        if value is not None and value not in classes:
            raise DataError(f"category_map: '{value}' is not in data.classes{nearest(value, classes)}")
    composed = {_composed(name): name for name in classes}
    labels = {}
    for name in known:
        wanted = category_map.get(name, name)
        wanted = None if wanted is None else composed.get(_composed(wanted), wanted)
        if wanted is not None and wanted not in classes:
            unused = drawn is not None and name not in drawn
            cure = (
                f'no object has it: ignore it with category_map: {{{name}: null}} in the source'
                if unused
                else 'add it there, or map it to a class or null in category_map of the source'
            )
            raise DataError(
                f"{path} has the category '{wanted}', which is not in data.classes{nearest(wanted, classes)}; {cure}"
            )
        labels[name] = context.ignore_index if wanted is None else classes.index(wanted)
    return labels


def _composed(name: str) -> str:
    """Return a name with composed accents; macOS writes decomposed ones."""
    return unicodedata.normalize('NFC', name)


def background_label(background: str | None, drawn: Container[int], context: Context, path: Path) -> int:
    """Return the label of pixels without an object.

    Args:
        background: name of their class; None ignores them; `AUTO` means the first class, unless it has drawn objects:
            then the pixels are unknown and ignored.
        drawn: the labels of all objects.
        context: the classes.
        path: the file, for errors.

    Raises:
        DataError: if there is no such class.
    """
    classes = list(context.classes)
    if background is None:
        return context.ignore_index
    if background == AUTO:
        return context.ignore_index if 0 in drawn else 0
    if background not in classes:
        raise DataError(f"{path}: the background '{background}' is not in data.classes{nearest(background, classes)}")
    return classes.index(background)


def why_background_is_ignored(background: str | None, context: Context, name: str) -> Ignored | None:
    """Return why pixels without an object are ignored, None if they are not.

    Args:
        background: see `background_label`; with `AUTO`, the first class must have drawn objects.
        context: the classes.
        name: the class that the pixels may belong to.
    """
    if background not in (None, AUTO):
        return None
    reason = f"objects of '{context.classes[0]}' are drawn" if background == AUTO else 'background is null'
    cause = f'pixels without an object are ignored, because {reason}'
    return Ignored(cause, f'background: {name}', chosen=background is None)


def check_boxes(boxes: int, first: str, count: int, on_box: Literal['error', 'skip'], path: Path) -> None:
    """Reject objects with a box but no outline, or warn that they are left out.

    Args:
        boxes: number of these objects.
        first: name of the first of them.
        count: number of all objects.
        on_box: the setting of the source.
        path: their file or folder.

    Raises:
        DataError: if there are any, with `on_box: error`.
    """
    if not boxes:
        return
    found = f'{path}: {boxes} of {count} objects have only a box and no outline'
    if on_box == 'error':
        raise DataError(f'{found}, first {first}; set on_box: skip in the source to leave them out')
    from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

    # isort: split
    from pytorch_lightning.utilities import rank_zero_only  # late: loader processes need no trainer

    rank_zero_only(warn)(f'{found} and are left out')
