"""Silent losses when reading images and masks: pages, bands, grey levels, the order of a palette."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglight.data.formats import open_image
from seglight.data.images import decode, has_8_bits
from seglight.data.places import open_file, read_bytes
from seglight.data.sources.base import Sample
from seglight.data.sources.folder_rows import MaskFile
from seglight.data.tiff import first_directory, is_tiff, page_count, read_bands
from seglight.data.value_range import ValueRange, extent, to_8_bits
from seglight.errors import DataError

EXAMINED = 32  #: number of images to examine, spread over a split
_MAX_PIXELS = 1 << 20  #: number of pixels per image in which to count grey levels
_MAX_BYTES = 1 << 28  #: total number of bytes to read
_FEW_LEVELS = 64  #: fewer grey levels than this are too few for a model, if the files have more


@dataclass(frozen=True)
class _Levels:
    """Number of grey levels of an image in its file and after reading, and its lowest and highest value."""

    stored: int
    kept: int
    low: float
    high: float
    dtype: str


@dataclass
class ReadingNotes:
    """Losses when reading the files of a data set.

    Attributes:
        lines: information.
        warnings: likely mistakes, the worst first.
    """

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def reading_notes(
    samples: Sequence[Sample], value_range: ValueRange | None, classes: Sequence[str] = ()
) -> ReadingNotes:
    """Examine some of the files, spread over a data set; skip files that cannot be read.

    Args:
        samples: the images and masks.
        value_range: for images of more than 8 bits.
        classes: names of the classes.
    """
    found: dict[str, list[Path]] = {}
    levels: list[_Levels] = []
    chosen = samples[:: -(-len(samples) // EXAMINED) or 1]
    budget = _MAX_BYTES
    for sample in chosen:
        try:
            data = _undecoded(sample.image)
            budget -= len(data)
            if not data or budget < 0:
                continue
            for note in _left_out(data):
                found.setdefault(note, []).append(sample.image)
            if not has_8_bits(data) and not (is_tiff(data) and first_directory(io.BytesIO(data)).bits <= 8):
                levels += _levels(decode(data), value_range)
        except Exception:  # bad files are reported by the checks of all files
            continue
    notes = ReadingNotes()
    if levels:
        _describe_levels(notes, levels)
    for note, paths in found.items():
        more = f' ({len(paths)} of {len(chosen)} images examined)' if len(paths) > 1 else ''
        notes.warnings.append(f'the image {paths[0]}{more} {note}')
    notes.warnings += _palette_notes(chosen, classes)
    return notes


def _undecoded(path: Path) -> bytes:
    """Return the content of a file; empty for a JPEG, which has 8 bits, one page and no transparency."""
    with open_file(path) as file:
        if file.read(3) == b'\xff\xd8\xff':
            return b''
    return read_bytes(path)


def _left_out(data: bytes) -> list[str]:
    """Return the parts of a file that are not used, each as the end of a sentence."""
    if is_tiff(data):
        file = io.BytesIO(data)
        pages, directory = page_count(file), first_directory(file)
        bands = read_bands(data, maximum=4)
        fourth = bands is not None and bands.ndim == 3 and bands.shape[2] == 4 and not _is_opaque(bands[..., 3])
        band = 'has transparency, which is dropped' if directory.has_alpha else 'has a fourth band, which is dropped'
    else:
        with open_image(io.BytesIO(data)) as image:
            pages = getattr(image, 'n_frames', 1)
            clear = image.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in image.info
            fourth = clear and not _is_opaque(np.asarray(image.convert('RGBA').getchannel('A')))
            band = 'has transparency, which is dropped'
    return [band] * fourth + ['has several pages, of which the first is used'] * (pages > 1)


def _is_opaque(alpha: npt.NDArray[Any]) -> bool:
    """Return whether a band has the same value everywhere and thus no information."""
    return bool((alpha == alpha.flat[0]).all())


def _levels(values: npt.NDArray[Any], value_range: ValueRange | None) -> list[_Levels]:
    """Count the grey levels of an image of more than 8 bits; an empty list for one of 8."""
    if values.dtype == np.uint8:
        return []
    step = max(1, int((values.size / _MAX_PIXELS) ** 0.5))
    kept = to_8_bits(values, value_range)[::step, ::step]
    part = values[::step, ::step]
    low, high = extent(part)
    return [_Levels(len(np.unique(part)), len(np.unique(kept)), low, high, str(values.dtype))]


def _describe_levels(notes: ReadingNotes, levels: Sequence[_Levels]) -> None:
    """Note how many grey levels are kept in images of more than 8 bits; warn if they are few."""
    stored, kept = (int(np.median([getattr(each, name) for each in levels])) for name in ('stored', 'kept'))
    low, high = min(each.low for each in levels), max(each.high for each in levels)
    values = f'{levels[0].dtype} images keep {kept} of {stored} grey levels; their values are {low:.6g} to {high:.6g}'
    notes.lines.append(values)
    if kept < _FEW_LEVELS and stored >= 2 * kept:
        notes.warnings.append(
            f'{values}: set data.image_range to the values of black and white, for example [{low:.6g}, {high:.6g}]'
        )


def _palette_notes(samples: Sequence[Sample], classes: Sequence[str]) -> list[str]:
    """Return the note on the palettes of indexed masks, once for all of them."""
    found = []
    for sample in samples:
        if isinstance(sample.mask, MaskFile):
            with suppress(DataError):
                found.append(sample.mask.labels.palette_note(sample.mask.path, classes))
    notes = [note for note in found if note is not None]
    more = f' (and {len(notes) - 1} of {len(found) - 1} other masks examined are alike)' if len(notes) > 1 else ''
    return [note + more for note in notes[:1]]
