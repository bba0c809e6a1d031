"""Reading mask files: the labels as stored, however an image viewer would show them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from seglight.array_types import UInt8Array
from seglight.data.formats import UnreadableError, open_image, reading
from seglight.data.orientation import orientation, upright
from seglight.data.places import read_bytes
from seglight.data.png import decode_png, png_palette
from seglight.data.tiff import is_tiff, read_bands
from seglight.errors import DataError
from seglight.palette import PNG_SIGNATURE

Labels = npt.NDArray[np.uint8 | np.uint16]

#: Factor by which Pillow scales grey values of 2 and 4 bits to make white 255.
_SCALES = {2: 85, 4: 17}


class _ColoursError(ValueError):
    """A mask has colours where labels are expected."""


class StoredMask(NamedTuple):
    """Content of a mask file.

    Attributes:
        values: labels `[H, W]`, uint8 or uint16, or uint8 `[H, W, 3]` in RGB.
        palette: the RGB colour of each index, uint8 `[N, 3]`, if the file has a palette.
        lossy: whether the compression changes values.
    """

    values: Labels
    palette: UInt8Array | None = None
    lossy: bool = False


def read_mask(path: Path, colours: bool = False) -> Labels:
    """Read a mask as `[H, W]` uint8 or uint16: palette indices or grey values.

    Args:
        path: the file.
        colours: whether to accept an RGB mask, as uint8 `[H, W, 3]`.

    Raises:
        DataError: if the file cannot be decoded, or has colours that are not accepted.
    """
    return read_stored_mask(path, colours).values


def read_stored_mask(path: Path, colours: bool = False) -> StoredMask:
    """Read a mask with its palette, see `read_mask`.

    Grey values of 1, 2 and 4 bits are returned as stored, not scaled. Alpha is dropped.
    """
    with reading(path, 'The mask '):
        try:
            return _decoded(read_bytes(path), colours)
        except _ColoursError as error:
            raise DataError(f'The mask {path} {error}') from error


def read_colours(path: Path) -> UInt8Array:
    """Read the colours of a palette, RGB or grey mask, uint8 `[H, W, 3]` RGB.

    Raises:
        DataError: if the file cannot be decoded or has values of more than 8 bits.
    """
    values, palette, _ = read_stored_mask(path, colours=True)
    if palette is not None:
        table = np.zeros((256, 3), dtype=np.uint8)
        table[: len(palette)] = palette
        return table[values]
    if values.dtype != np.uint8:
        raise DataError(f'The mask {path} has {values.dtype} values; colours need a palette or RGB of 8 bits')
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8) if values.ndim == 2 else values.astype(np.uint8)


def _decoded(data: bytes, colours: bool) -> StoredMask:
    """Decode a mask file."""
    labels = decode_png(data)
    if labels is not None:
        return StoredMask(labels, png_palette(data))
    bands = read_bands(data, shown=False) if is_tiff(data) else None
    if bands is not None:
        return StoredMask(_checked(bands, colours, f'{bands.shape[2]} bands' if bands.ndim == 3 else ''))
    return _by_pillow(data, colours)


def _by_pillow(data: bytes, colours: bool) -> StoredMask:
    """Decode a mask with Pillow."""
    with _opened(data) as image:
        lossy = image.format in ('JPEG', 'MPO') or (image.format == 'WEBP' and b'VP8 ' in data[:64])
        mode, bits = image.mode, _grey_bits(data, image)
        palette = np.array(image.getpalette('RGB') or (), dtype=np.uint8).reshape(-1, 3) if mode == 'P' else None
        grey = mode in ('1', 'L', 'P') or mode.startswith(('I', 'F'))
        values = np.asarray(image if grey else image.getchannel('L') if mode == 'LA' else image.convert('RGB'))
        values = ~values if _is_inverted(image) else values
        values = values.astype(np.uint8) if mode == '1' else values // bits if bits > 1 else values
        turned = 1 if image.format == 'TIFF' else orientation(image)  # Pillow rotates TIFF itself
    return StoredMask(_checked(upright(values, turned), colours, f'the mode {mode}'), palette, lossy)


def _opened(data: bytes) -> ImageFile.ImageFile:
    """Open a mask with Pillow, which scales the grey values of a PGM unless its maximum is that of its type."""
    image = open_image(io.BytesIO(data))
    if not data.startswith((b'P2', b'P5')):
        return image
    with image:
        maximum = 255 if image.mode == 'L' else 65535
        header = b'%b %d %d %d\n' % (data[:2], *image.size, maximum)
        return open_image(io.BytesIO(header + data[image.tile[0][2] :]))


def _is_inverted(image: Image.Image) -> bool:
    """Return whether Pillow has inverted the values of a file, in which 0 is white."""
    if image.format == 'TIFF':
        return image.mode in ('1', 'L') and getattr(image, 'tag_v2', {}).get(262) == 0
    return image.mode == '1' and image.format == 'PPM'


def _grey_bits(data: bytes, image: Image.Image) -> int:
    """Return the factor by which Pillow has scaled the grey values of a file."""
    if image.mode != 'L':
        return 1
    if data.startswith(PNG_SIGNATURE):
        return _SCALES.get(data[24], 1)
    if image.format == 'TIFF':
        return _SCALES.get(getattr(image, 'tag_v2', {}).get(258, (8,))[0], 1)
    return 1


def _checked(values: npt.NDArray[Any], colours: bool, layout: str) -> Labels:
    """Return labels of 8 or 16 bits, or colours if they are accepted.

    Raises:
        UnreadableError: for labels that are not integers from 0 to 65535.
        _ColoursError: for colours that are not accepted.
    """
    if values.ndim == 3 and values.dtype == np.uint8:
        rgb = values[..., :3]
        if colours:
            return rgb
    if values.ndim == 3:
        equal = ' (its channels are equal: save one of them)' if (values[..., :3] == values[..., :1]).all() else ''
        raise _ColoursError(
            f'has {layout}{equal}; a mask must have one channel of 8 or 16 bits with labels, '
            'or 8-bit RGB colours that are in data.palette'
        )
    if values.dtype == np.uint8:
        return values
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if not (low >= 0 and high <= 65535):  # also rejects NaN
        raise UnreadableError(f'it has labels from {low} to {high}; save it again with labels from 0 to 65535')
    if values.dtype.kind == 'f' and (values != np.floor(values)).any():
        raise UnreadableError(f'it has values that are not integers, from {low} to {high}; save it again with labels')
    return values.astype(np.uint16)
