"""Mapping the labels or colours in mask files to the classes of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import Ints, UInt8Array
from seglight.data.class_checks import check_colours
from seglight.data.masks import StoredMask, read_colours, read_stored_mask
from seglight.data.palette_order import packed, reordered_labels
from seglight.errors import DataError, UsageError
from seglight.similar import nearest

if TYPE_CHECKING:
    from seglight.data.sources.base import Context


@dataclass(frozen=True)
class LabelMap:
    """Maps the labels or colours of mask files to classes.

    Attributes:
        palette: an RGB colour for each class, for colour-coded masks; None rejects them.
        ignore_index: the ignored label.
        reduce_zero_label: whether to ignore label 0 and decrease the others by one, as in mmseg's `LoadAnnotations`.
        classes: maps labels after that; other labels are unchanged. mmseg maps before it reduces, which loses classes
            if a data set needs both.
        ignore_colours: RGB colours to ignore.
        nearest: the valid labels of the files; all others, and colours outside the palette, are mapped to the nearest.
            None if there are no others.
        colours: the class of each RGB colour, used instead of the palette; None for labels or the palette.
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
        """Return the map for the arguments of a source.

        Raises:
            ConfigError: if `label_map` or `ignore_colours` is invalid, if an ignored colour is that of a class, or if
                `nearest` has neither labels nor colours.
        """
        check_colours(ignore_colours, 'ignore_colours')
        known = list(map(list, context.palette or [])) if colours is None else list(map(list, colours))
        shared = next((list(each) for each in ignore_colours if list(each) in known), None)
        if shared is not None:
            where = 'data.palette' if colours is None else 'the labelmap'
            raise UsageError(f'ignore_colours has {shared}, which is the colour of a class in {where}; remove it')
        classes = {_label(label): _class(value, context) for label, value in (label_map or {}).items()}
        if nearest and not classes and context.palette is None and colours is None:
            raise UsageError('nearest needs label_map with the labels of the masks, or data.palette with their colours')
        # Classes that are not mapped to keep their numbers.
        unmapped = [label for label in range(len(context.classes)) if label not in classes.values()]
        shift = 1 if reduce_zero_label else 0
        labels = {label + shift for label in (*classes, *unmapped)} | ({0} if reduce_zero_label else set())
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
        """Read a mask file with labels of 8 or 16 bits, palette indices, or RGB colours.

        Palette indices are labels, unless the file has the colours of `palette` in another order: then its colours
        count, see `reordered_labels`.

        Returns:
            uint8 `[H, W]`, possibly with labels outside the classes.

        Raises:
            DataError: if the file cannot be decoded, has an unknown or ambiguous colour, an unmapped label above 255,
                or colours where labels are to be mapped.
        """
        if self.colours is not None:
            return self._from_colours(read_colours(path), path)
        stored = read_stored_mask(path, colours=self.palette is not None or self.nearest is not None)
        mask = stored.values
        if mask.ndim == 3 and self.nearest is not None and self.classes and (mask == mask[..., :1]).all():
            mask = mask[..., 0]
        if mask.ndim == 3 and not self._is_identity:
            raise DataError(
                f'The mask {path} has RGB colours, which data.palette maps to classes; '
                'reduce_zero_label and label_map of its source are for labels: remove them'
            )
        if mask.ndim == 3:
            return self._from_colours(mask.astype(np.uint8), path)
        if self.nearest is not None and self.classes:
            return np.asarray(self._table[self._nearest_label[mask]])
        table = self._reordered(stored)
        if table is not None:
            return np.asarray(cv2.LUT(mask, table), np.uint8)
        if mask.dtype == np.uint8:
            # Without a map, the array of the file.
            return (
                mask.astype(np.uint8) if self._is_identity else np.asarray(cv2.LUT(mask, self._table[:256]), np.uint8)
            )
        labels = self._table[mask]
        unmapped = (mask > 255) & ~np.isin(mask, self._mapped)
        if unmapped.any():
            found = ', '.join(str(label) for label in np.unique(mask[unmapped])[:5])
            raise DataError(
                f'The mask {path} has the label {found}; map it to a class or null in label_map of its source'
            )
        return labels

    @property
    def _is_identity(self) -> bool:
        return not self.reduce_zero_label and not self.classes

    @cached_property
    def _table(self) -> UInt8Array:
        """The class of each of the 65536 labels."""
        labels: Ints = np.arange(1 << 16)
        if self.reduce_zero_label:
            labels[1:255] -= 1  # 255 is unchanged, as in mmseg
            labels[256:] -= 1
        table = labels.copy()
        for label, value in self.classes.items():
            table[labels == label] = value
        if self.reduce_zero_label:
            table[0] = self.ignore_index
        return table.astype(np.uint8)

    @cached_property
    def _mapped(self) -> Ints:
        """The labels of the file above 255 that are mapped."""
        shift = 1 if self.reduce_zero_label else 0
        return np.array([label + shift for label in self.classes if label + shift > 255], dtype=np.int64)

    @property
    def _is_comparable(self) -> bool:
        """Whether palettes of files can be compared with `palette`, whose colours must be unique."""
        return bool(self.palette) and self._repeated_colour is None and self._is_identity

    def _reordered(self, stored: StoredMask) -> UInt8Array | None:
        """Return the label for each index if the palette of a file is `palette` in another order, uint8 `[256]`."""
        if stored.palette is None or self.palette is None or not self._is_comparable:
            return None
        labels = self._label_of_colour
        return reordered_labels(stored.palette, stored.values, self.palette, labels, self.ignore_index)

    def palette_note(self, path: Path, names: Sequence[str]) -> str | None:
        """Return a note on a mask file whose palette has the colour of a class at another index; None if it has not."""
        stored = read_stored_mask(path, colours=True)
        if stored.palette is None or self.palette is None or not self._is_comparable:
            return None
        if self._reordered(stored) is not None:
            return (
                f'the palette of the mask {path} has the colours of data.palette in another order; the colours count '
                '(to use the labels, set data.palette: null)'
            )
        for label, colour in enumerate(stored.palette[: len(self.palette)]):
            other = self._label_of_colour.get(packed(colour), label)
            if other not in (label, self.ignore_index):
                return (
                    f"the palette of the mask {path} gives label {label}, '{names[label]}', the colour that "
                    f"'{names[other]}' has in data.palette; the label counts: check the order of data.classes"
                )
        return None

    @cached_property
    def _nearest_label(self) -> npt.NDArray[np.uint16]:
        """The nearest valid label for each of the 65536 labels; the lower one if two are equally near."""
        ignored = self.ignore_index + (self.reduce_zero_label and self.ignore_index != 255)
        known = {*(self.nearest or ()), *([ignored] if self._table[ignored] == self.ignore_index else [])}
        labels = np.array(sorted(known))
        middles = (labels[:-1] + labels[1:]) / 2
        return labels[np.searchsorted(middles, np.arange(1 << 16))].astype(np.uint16)

    def _from_colours(self, mask: UInt8Array, path: Path) -> UInt8Array:
        """Return the class of each pixel's colour."""
        pixels = mask.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        colours, indices = np.unique(pixels, return_inverse=True)
        if self.nearest is not None:
            return self._nearest_class(colours)[indices].reshape(pixels.shape)
        classes = np.array([self._label_of_colour.get(int(colour), -1) for colour in colours])
        if (classes < 0).any():
            colour = int(colours[classes < 0][0])
            rgb = f'({colour >> 16}, {colour >> 8 & 255}, {colour & 255})'
            known, cure = ('data.palette', 'palette') if self.colours is None else ('the labelmap', 'labelmap')
            raise DataError(
                f'The mask {path} has the colour {rgb}, which is not in {known}; '
                f'correct the {cure}, or add it to ignore_colours of its source'
                + blending_hint(path, np.bincount(indices.ravel())[classes < 0], indices.size)
            )
        return classes.astype(np.uint8)[indices].reshape(pixels.shape)

    def _nearest_class(self, colours: npt.NDArray[np.uint32]) -> UInt8Array:
        """Return the class of the nearest known colour for each colour; the first one if two are equally near."""
        rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)
        classes, shortest = np.zeros(len(rgb), dtype=np.uint8), np.full(len(rgb), 1 << 20)
        for known, label in self._label_of_colour.items():
            distance = ((rgb - (known >> 16, known >> 8 & 255, known & 255)) ** 2).sum(1)
            classes[distance < shortest] = label
            shortest = np.minimum(shortest, distance)
        return classes

    @cached_property
    def _label_of_colour(self) -> dict[int, int]:
        """The label of each packed colour, including ignored ones."""
        ignored = {packed(colour): self.ignore_index for colour in self.ignore_colours}
        if self.colours is not None:
            return {packed(colour): label for colour, label in self.colours.items()} | ignored
        if self._repeated_colour is not None:
            raise DataError(
                f'data.palette has the colour {self._repeated_colour} twice, so RGB masks are ambiguous; change one'
            )
        return {packed(colour): label for label, colour in enumerate(self.palette or [])} | ignored

    @cached_property
    def _repeated_colour(self) -> list[int] | None:
        """The first colour of the palette that occurs more than once."""
        palette = [list(colour) for colour in self.palette or []]
        return next((colour for colour in palette if palette.count(colour) > 1), None)


def blending_hint(path: Path, counts: Ints, size: int) -> str:
    """Return why a mask file may have invalid values, to append to a message; empty if unknown.

    Args:
        path: the file.
        counts: number of pixels of each invalid value.
        size: number of all pixels.
    """
    cure = 'or set nearest: true in its source, with label_map or data.palette'
    if read_stored_mask(path, colours=True).lossy:
        return f' (the mask is saved as JPEG, which changes labels: save it as PNG, {cure})'
    if len(counts) >= 3 and counts.sum() - counts.max() < size / 4:
        return f' (many values on few pixels come from interpolated edges: resize masks by nearest neighbour, {cure})'
    return ''


def _label(key: object) -> int:
    """Return a key of `label_map` as a label."""
    if isinstance(key, bool) or not str(key).isdecimal() or int(str(key)) >= 1 << 16:
        raise UsageError(f'label_map: {key!r} is not a label (an integer from 0 to 65535)')
    return int(str(key))


def _class(value: int | str | None, context: Context) -> int:
    """Return a value of `label_map`, a class name or number, as a label; the ignored label for None."""
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
