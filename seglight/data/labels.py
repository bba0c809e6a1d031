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

from seglight.config.settings import nearest
from seglight.data.images import UInt8Array, read_colours, read_mask
from seglight.errors import ConfigError, DataError

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
        colours: the class of each RGB colour of the files, in place of the palette's; None for labels or the palette.
    """

    palette: Sequence[Sequence[int]] | None = None
    ignore_index: int = 255
    reduce_zero_label: bool = False
    classes: Mapping[int, int] = field(default_factory=dict)
    ignore_colours: Sequence[Sequence[int]] = ()
    colours: Mapping[tuple[int, ...], int] | None = None

    @classmethod
    def of(
        cls,
        context: Context,
        reduce_zero_label: bool = False,
        label_map: Mapping[int, int | str | None] | None = None,
        ignore_colours: Sequence[Sequence[int]] = (),
        colours: Mapping[tuple[int, ...], int] | None = None,
    ) -> LabelMap:
        """Return the map of a source's arguments.

        Raises:
            ConfigError: if `label_map` names no class or no label, or `ignore_colours` no colour or that of a class.
        """
        check_colours(ignore_colours, 'ignore_colours')
        known = map(list, context.palette or []) if colours is None else map(list, colours)
        taken = list(known)
        shared = next((list(each) for each in ignore_colours if list(each) in taken), None)
        if shared is not None:
            where = 'data.palette' if colours is None else 'the labelmap'
            raise ConfigError(f'ignore_colours has {shared}, which is the colour of a class in {where}; remove it')
        classes = {_label(raw): _class(value, context) for raw, value in (label_map or {}).items()}
        return cls(context.palette, context.ignore_index, reduce_zero_label, classes, ignore_colours, colours)

    def read(self, path: Path) -> UInt8Array:
        """Read a mask file of one channel of 8 or 16 bits, of a palette, or in the palette's RGB colours.

        Returns:
            uint8 `[H, W]`; whether its labels are classes is not checked.

        Raises:
            DataError: if the file cannot be decoded, has a colour that is no class's or that of two, or a 16-bit label
                that is mapped to no class; or if labels are to be mapped and it has colours.
        """
        if self.colours is not None:
            return self._from_colours(read_colours(path), path)
        mask = read_mask(path, colours=self.palette is not None)
        if mask.ndim == 3 and not self._is_identity:
            raise DataError(
                f'The mask {path} has RGB colours, whose classes data.palette gives; '
                'reduce_zero_label and label_map of its source are for labels: remove them'
            )
        if mask.ndim == 3:
            return self._from_colours(mask.astype(np.uint8), path)
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

    def _from_colours(self, mask: UInt8Array, path: Path) -> UInt8Array:
        """Return the class of each pixel's colour."""
        packed = mask.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
        colours, where = np.unique(packed, return_inverse=True)
        classes = np.array([self._of_colour.get(int(colour), -1) for colour in colours])
        if (classes < 0).any():
            colour = int(colours[classes < 0][0])
            rgb = f'({colour >> 16}, {colour >> 8 & 255}, {colour & 255})'
            known, cure = ('data.palette', 'palette') if self.colours is None else ('the labelmap', 'labelmap')
            raise DataError(
                f'The mask {path} has the colour {rgb}, which is no class of {known}; '
                f'correct the {cure}, or name it in ignore_colours of its source'
            )
        return classes.astype(np.uint8)[where].reshape(packed.shape)

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


def _packed(colour: Sequence[int]) -> int:
    """Return an RGB colour as one number."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def check_count(classes: Sequence[str]) -> None:
    """Check that there are at least two classes, and no more than masks of 8 bits tell apart.

    Raises:
        ConfigError: for too few or too many.
    """
    key = ('data', 'classes')
    if len(classes) == 1:
        name = classes[0]
        both = f'[background, {name}]' if name.lower() != 'background' else f'[{name}, object]'
        raise ConfigError(
            f"data.classes must name what is not '{name}' too: give {both}; a head with one sigmoid channel "
            '(out_channels: 1) also takes two classes',
            key,
        )
    if not 2 <= len(classes) <= 255:
        raise ConfigError(f'data.classes names {len(classes)} classes; 2 to 255 are possible', key)


def check_classes(classes: Sequence[str], ignore_index: int) -> None:
    """Check that classes can be told from each other, and from pixels that do not count.

    Raises:
        ConfigError: for too few or too many, one name for two, or a class with the ignore label.
    """
    key = ('data', 'classes')
    check_count(classes)
    twice = next((name for name, count in Counter(classes).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"data.classes names '{twice}' twice; each class needs a name of its own", key)
    if 0 <= ignore_index < len(classes):
        message = f"data.ignore_index is {ignore_index}, the label of the class '{classes[ignore_index]}'"
        cure = f'give {len(classes)} to 255; label_map: {{{ignore_index}: null}} has a label of the masks ignored'
        raise ConfigError(f'{message}; {cure}', ('data', 'ignore_index'))


def check_colours(colours: Sequence[Sequence[int]], what: str) -> None:
    """Check that each colour is three whole numbers from 0 to 255.

    Raises:
        ConfigError: names what they are and the first that is none.
    """
    for colour in colours:
        if len(colour) != 3 or not all(isinstance(value, int) and 0 <= value <= 255 for value in colour):
            message = f'{what}: {list(colour)} is no RGB colour, which is three whole numbers from 0 to 255'
            raise ConfigError(message, tuple(what.split('.')))


def _label(raw: object) -> int:
    """Return a label of a mask file."""
    if isinstance(raw, bool) or not str(raw).isdecimal() or int(str(raw)) >= 1 << 16:
        raise ConfigError(f'label_map: {raw!r} is no label of a mask, which is a number from 0 to 65535')
    return int(str(raw))


def _class(value: int | str | None, context: Context) -> int:
    """Return the number of a class that is given by number or name; None is the ignore label."""
    names = list(context.classes)
    if value is None:
        return context.ignore_index
    if isinstance(value, str):
        if value not in names:
            raise ConfigError(f"label_map: '{value}' is no class of data.classes{nearest(value, names)}")
        return names.index(value)
    if not 0 <= value < len(names) and value != context.ignore_index:
        raise ConfigError(f'label_map: {value} is no class; data.classes names {len(names)} (0 to {len(names) - 1})')
    return value
