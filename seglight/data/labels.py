"""From what a mask file holds to the classes of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.config.class_names import check_count
from seglight.config.settings import nearest
from seglight.data.masks import Labels, read_colours, read_stored_mask
from seglight.errors import ConfigError, DataError, UsageError

if TYPE_CHECKING:
    from seglight.data.sources.base import Context

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelMap:
    """Turns the labels or the colours of mask files into classes.

    Attributes:
        palette: an RGB colour for each class, for colour-coded masks; None refuses them.
        ignore_index: the class of ignored pixels.
        reduce_zero_label: label 0 is ignored and the others move down by one, as in mmseg's `LoadAnnotations`.
        classes: the class of some labels after that; the others stay. mmseg maps before it reduces, which
            loses classes where a data set needs both.
        ignore_colours: RGB colours that are ignored.
        nearest: the labels of the files; every other label, and every other colour than the palette's, means the
            nearest of them. None for files that hold no others.
        colours: the class of each RGB colour of the files, in place of the palette's; None for labels or the palette.
    """

    palette: Sequence[Sequence[int]] | None = None
    ignore_index: int = 255
    reduce_zero_label: bool = False
    classes: Mapping[int, int] = field(default_factory=dict)
    ignore_colours: Sequence[Sequence[int]] = ()
    nearest: tuple[int, ...] | None = None
    colours: Mapping[tuple[int, ...], int] | None = None

    @classmethod
    def of(
        cls,
        context: Context,
        reduce_zero_label: bool = False,
        label_map: Mapping[int, int | str | None] | None = None,
        ignore_colours: Sequence[Sequence[int]] = (),
        nearest: bool = False,
        colours: Mapping[tuple[int, ...], int] | None = None,
    ) -> LabelMap:
        """Return the map of a source's arguments.

        Raises:
            ConfigError: if `label_map` names no class or no label, or `ignore_colours` no colour or that of a class;
                or if nothing says what values are the nearest.
        """
        check_colours(ignore_colours, 'ignore_colours')
        taken = list(map(list, context.palette or [])) if colours is None else list(map(list, colours))
        shared = next((list(each) for each in ignore_colours if list(each) in taken), None)
        if shared is not None:
            where = 'data.palette' if colours is None else 'the labelmap'
            raise UsageError(f'ignore_colours has {shared}, which is the colour of a class in {where}; remove it')
        classes = {_label(raw): _class(value, context) for raw, value in (label_map or {}).items()}
        if nearest and not classes and context.palette is None and colours is None:
            raise UsageError(
                'nearest needs label_map, with the labels of the masks, or data.palette, with their colours'
            )
        # A class that the map does not name keeps its number.
        own = [label for label in range(len(context.classes)) if label not in classes.values()]
        moved = 1 if reduce_zero_label else 0
        labels = {label + moved for label in (*classes, *own)} | ({0} if reduce_zero_label else set())
        return cls(
            context.palette,
            context.ignore_index,
            reduce_zero_label,
            classes,
            ignore_colours,
            tuple(sorted(labels)) if nearest else None,
            colours,
        )

    def read(self, path: Path) -> UInt8Array:
        """Read a mask file of one channel of 8 or 16 bits, of a palette, or in the palette's RGB colours.

        The indices of a palette are labels, unless the file has the colours of `palette` in another order: then its
        colours count, see `_by_palette`.

        Returns:
            uint8 `[H, W]`; whether its labels are classes is not checked.

        Raises:
            DataError: if the file cannot be decoded, has a colour that is no class's or that of two, or a 16-bit label
                that is mapped to no class; or if labels are to be mapped and it has colours.
        """
        if self.colours is not None:
            return self._from_colours(read_colours(path), path)
        stored = read_stored_mask(path, colours=self.palette is not None or self.nearest is not None)
        mask = stored.values
        if mask.ndim == 3 and self.nearest is not None and self.classes and (mask == mask[..., :1]).all():
            mask = mask[..., 0]
        if mask.ndim == 3 and not self._is_identity:
            raise DataError(
                f'The mask {path} has RGB colours, whose classes data.palette gives; '
                'reduce_zero_label and label_map of its source are for labels: remove them'
            )
        if mask.ndim == 3:
            return self._from_colours(mask.astype(np.uint8), path)
        if self.nearest is not None and self.classes:
            return np.asarray(self._table[self._nearest_label[mask]])
        table = None if stored.palette is None else self._by_palette(stored.palette, mask)
        if table is not None:
            return np.asarray(cv2.LUT(mask, table), np.uint8)
        if mask.dtype == np.uint8:
            # Without a map the file's own array.
            return (
                mask.astype(np.uint8) if self._is_identity else np.asarray(cv2.LUT(mask, self._table[:256]), np.uint8)
            )
        labels = self._table[mask]
        wrong = (mask > 255) & ~np.isin(mask, self._mapped)
        if wrong.any():
            found = ', '.join(str(label) for label in np.unique(mask[wrong])[:5])
            raise DataError(
                f'The mask {path} has the label {found}; give its class, or null, in label_map of its source'
            )
        return labels

    @property
    def _is_identity(self) -> bool:
        return not self.reduce_zero_label and not self.classes

    @cached_property
    def _table(self) -> UInt8Array:
        """The class of each of the 65536 labels."""
        labels: IntArray = np.arange(1 << 16)
        if self.reduce_zero_label:
            labels[1:255] -= 1  # 255 stays what it is, as in mmseg
            labels[256:] -= 1
        table = labels.copy()
        for label, value in self.classes.items():
            table[labels == label] = value
        if self.reduce_zero_label:
            table[0] = self.ignore_index
        return table.astype(np.uint8)

    @cached_property
    def _mapped(self) -> IntArray:
        """The labels of the file, above 255, that have a class."""
        moved = 1 if self.reduce_zero_label else 0
        return np.array([label + moved for label in self.classes if label + moved > 255], dtype=np.int64)

    def _by_palette(self, colours: UInt8Array, mask: Labels) -> UInt8Array | None:
        """Return the class of each index of a file whose palette is `palette` in another order, uint8 `[256]`.

        That is so where the first colours, as many as there are classes, are those of `palette`, or where every
        colour of the file is one of them (or ignored): programs leave out colours that an image does not need.

        Args:
            colours: of the file, uint8 `[N, 3]`.
            mask: the indices of its pixels.

        Returns:
            None where the indices are the labels: the order is the same, the palette is another, or a source maps
            the labels.
        """
        known = np.array(self.palette or [], dtype=np.uint8).reshape(-1, 3)
        shared = min(len(known), len(colours))
        if not shared or not self._is_identity or np.array_equal(colours[:shared], known[:shared]):
            return None
        packed, wanted = [_packed(colour) for colour in colours], [_packed(colour) for colour in known]
        if len(set(wanted)) < len(wanted):  # classes of one colour
            return None
        meant = len(packed)
        while meant and packed[meant - 1] == packed[-1]:
            meant -= 1
        if meant == len(packed) - 1:  # no run of one colour, by which many programs fill the palette up
            meant += 1
        meant = max(meant, int(mask.max(initial=0, where=mask != self.ignore_index)) + 1)
        own = packed[:meant]
        distinct = len(set(own)) == len(own) == meant
        if not (distinct and set(own) <= self._of_colour.keys()) and set(packed[: len(known)]) != set(wanted):
            return None
        table = np.arange(256, dtype=np.uint8)
        for index, colour in enumerate(packed[:256]):
            table[index] = self._of_colour.get(colour, index)
        table[self.ignore_index] = self.ignore_index
        return table

    def palette_note(self, path: Path, names: Sequence[str]) -> str | None:
        """Return what to know of a mask file whose palette has a class's colour at another index; None for nothing."""
        stored = read_stored_mask(path, colours=True)
        alike = len({*map(tuple, self.palette or ())}) < len(self.palette or ())
        if stored.palette is None or not self.palette or alike or not self._is_identity:
            return None
        if self._by_palette(stored.palette, stored.values) is not None:
            return (
                f'the palette of the mask {path} has the colours of data.palette in another order; the colours count '
                '(for the labels to count, set data.palette: null)'
            )
        for label, colour in enumerate(stored.palette[: len(self.palette)]):
            other = self._of_colour.get(_packed(colour), label)
            if other not in (label, self.ignore_index):
                return (
                    f"the palette of the mask {path} gives label {label}, '{names[label]}', the colour that "
                    f"'{names[other]}' has in data.palette; the label counts: check the order of data.classes"
                )
        return None

    @cached_property
    def _nearest_label(self) -> npt.NDArray[np.uint16]:
        """The nearest of the labels that the files have, for each of the 65536; the lower of two."""
        ignored = self.ignore_index + (self.reduce_zero_label and self.ignore_index != 255)
        known = {*(self.nearest or ()), *([ignored] if self._table[ignored] == self.ignore_index else [])}
        labels = np.array(sorted(known))
        middles = (labels[:-1] + labels[1:]) / 2
        return labels[np.searchsorted(middles, np.arange(1 << 16))].astype(np.uint16)

    def _from_colours(self, mask: UInt8Array, path: Path) -> UInt8Array:
        """Return the class of each pixel's colour."""
        packed = mask.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        colours, where = np.unique(packed, return_inverse=True)
        if self.nearest is not None:
            return self._nearest_class(colours)[where].reshape(packed.shape)
        classes = np.array([self._of_colour.get(int(colour), -1) for colour in colours])
        if (classes < 0).any():
            colour = int(colours[classes < 0][0])
            rgb = f'({colour >> 16}, {colour >> 8 & 255}, {colour & 255})'
            known, cure = ('data.palette', 'palette') if self.colours is None else ('the labelmap', 'labelmap')
            raise DataError(
                f'The mask {path} has the colour {rgb}, which is no class of {known}; '
                f'correct the {cure}, or name it in ignore_colours of its source'
                + blending_hint(path, np.bincount(where.ravel())[classes < 0], where.size)
            )
        return classes.astype(np.uint8)[where].reshape(packed.shape)

    def _nearest_class(self, colours: npt.NDArray[np.uint32]) -> UInt8Array:
        """Return the class of the nearest known colour to each colour; the one that is listed first of two."""
        rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)
        classes, least = np.zeros(len(rgb), dtype=np.uint8), np.full(len(rgb), 1 << 20)
        for known, label in self._of_colour.items():
            distance = ((rgb - (known >> 16, known >> 8 & 255, known & 255)) ** 2).sum(1)
            classes[distance < least] = label
            least = np.minimum(least, distance)
        return classes

    @cached_property
    def _of_colour(self) -> dict[int, int]:
        """The class of each colour, packed into one number."""
        if self.colours is not None:
            return {_packed(colour): label for colour, label in self.colours.items()} | self._ignored
        alike = next((each for each in self.palette or [] if list(self.palette or []).count(each) > 1), None)
        if alike is not None:
            raise DataError(
                f'data.palette has the colour {alike} twice, so RGB masks do not tell the classes; change one'
            )
        return {_packed(colour): label for label, colour in enumerate(self.palette or [])} | self._ignored

    @property
    def _ignored(self) -> dict[int, int]:
        """The ignore label of each colour that is ignored, packed into one number."""
        return {_packed(colour): self.ignore_index for colour in self.ignore_colours}


def _packed(colour: Sequence[int] | UInt8Array) -> int:
    """Return an RGB colour as one number."""
    red, green, blue = (int(channel) for channel in colour)
    return red << 16 | green << 8 | blue


def blending_hint(path: Path, counts: IntArray, size: int) -> str:
    """Return why a mask file may have values that mean nothing, to be added to a message; nothing for other causes.

    Args:
        path: the file.
        counts: how many pixels have each such value.
        size: how many pixels there are.
    """
    cure = 'or set nearest: true in its source, with label_map or data.palette'
    if read_stored_mask(path, colours=True).lossy:
        return f' (the mask is saved as JPEG, which changes labels: save it as PNG, {cure})'
    if len(counts) >= 3 and counts.sum() - counts.max() < size / 4:
        return f' (so many values on few pixels come from blended edges: resize masks by nearest neighbour, {cure})'
    return ''


def check_classes(classes: Sequence[str], ignore_index: int) -> None:
    """Check that classes can be told from each other, and from pixels that do not count.

    Raises:
        ConfigError: for too few or too many, one name for two, or a class with the ignore label.
    """
    key = 'data.classes'
    check_count(classes)
    twice = next((name for name, count in Counter(classes).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(key, f"names '{twice}' twice; each class needs a name of its own")
    if 0 <= ignore_index < len(classes):
        message = f"is {ignore_index}, the label of the class '{classes[ignore_index]}'"
        cure = f'give {len(classes)} to 255; label_map: {{{ignore_index}: null}} ignores a label of the masks'
        raise ConfigError('data.ignore_index', f'{message}; {cure}')


def check_colours(colours: Sequence[Sequence[int]], what: str) -> None:
    """Check that each colour is three whole numbers from 0 to 255.

    Raises:
        ConfigError: names what they are and the first that is none.
    """
    for colour in colours:
        if len(colour) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in colour):
            message = f'{list(colour)} is not an RGB colour (three integers from 0 to 255)'
            raise ConfigError(what, message)


def _label(raw: object) -> int:
    """Return a label of a mask file."""
    if isinstance(raw, bool) or not str(raw).isdecimal() or int(str(raw)) >= 1 << 16:
        raise UsageError(f'label_map: {raw!r} is not a label (an integer from 0 to 65535)')
    return int(str(raw))


def _class(value: int | str | None, context: Context) -> int:
    """Return the number of a class that is given by number or name; None is the ignore label."""
    names = list(context.classes)
    if value is None:
        return context.ignore_index
    if isinstance(value, str):
        if value not in names:
            raise UsageError(f"label_map: '{value}' is not in data.classes{nearest(value, names)}")
        return names.index(value)
    if not 0 <= value < len(names) and value != context.ignore_index:
        raise UsageError(f'label_map: {value} is not a class; data.classes names {len(names)} (0 to {len(names) - 1})')
    return value
