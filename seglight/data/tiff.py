"""Reading the bands of TIFF files as stored.

OpenCV and Pillow silently misread some files: planar bands, several grey bands, signed integers, premultiplied alpha.
So this module reads the header and gives OpenCV a rewritten directory that it decodes correctly: one grey band, or
three or four interleaved bands.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from seglight.data.formats import MAX_PIXELS, IncompleteError, UnreadableError, open_image
from seglight.data.orientation import upright, valid

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANES, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA, _FORMAT, _SUBFILE = 322, 323, 324, 325, 338, 339, 254

#: The tags that describe the storage of pixels, with their defaults.
_DEFAULTS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((_STRIPS, _STRIP_SIZES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA), ()),
    **dict.fromkeys((_BITS, _COMPRESSION, _FILL_ORDER, _SAMPLES, _PLANES, _PREDICTOR, _FORMAT, _ORIENTATION), (1,)),
    _WIDTH: (0,),
    _HEIGHT: (0,),
    _PHOTOMETRIC: (1,),
    _SUBFILE: (0,),
}
_LAYOUT = (_STRIPS, _STRIP_SIZES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES)
_PLACES_AND_SIZES = ((_STRIPS, _TILES), (_STRIP_SIZES, _TILE_SIZES))
_PER_PLANE = (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES)
_CODES = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}  #: integer types
_MAX_ENTRIES = 4096  #: of a directory
_LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}  #: none, LZW, deflate, PackBits, deflate, LZMA, Zstandard
_GREY_WHITE, _GREY, _RGB = 0, 1, 2
_KINDS = {1: 'u', 2: 'i', 3: 'f'}  #: numpy kinds by `SampleFormat`; 4 (undefined) counts as integers
_ALPHA = (1, 2)  #: values of `ExtraSamples` for alpha; 0 is unspecified

Bands = npt.NDArray[Any]


@dataclass(frozen=True)
class Directory:
    """How an image of a TIFF file is stored.

    Attributes:
        order: byte order, `<` or `>`.
        tags: the values of each tag.
        following: offset of the next directory, 0 for none.
    """

    order: str
    tags: dict[int, tuple[int, ...]]
    following: int

    def __getitem__(self, tag: int) -> int:
        """Return the first value of a tag."""
        return self.tags[tag][0]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright image."""
        size = (self[_HEIGHT], self[_WIDTH])
        return (size[1], size[0]) if self.orientation >= 5 else size

    @property
    def orientation(self) -> int:
        """Orientation, 1 to 8, as in EXIF."""
        return valid(self[_ORIENTATION])

    @property
    def bands(self) -> int:
        """Number of values per pixel."""
        return self[_SAMPLES]

    @property
    def bits(self) -> int:
        """Number of bits per value."""
        return self[_BITS]

    @property
    def is_page(self) -> bool:
        """Whether the image is a page, not a thumbnail or mask of another."""
        return not self[_SUBFILE] & 0b101

    @property
    def is_plain(self) -> bool:
        """Whether the bands are grey or RGB, losslessly stored, with a dtype of numpy."""
        return (
            self[_PHOTOMETRIC] in (_GREY_WHITE, _GREY, _RGB)
            and self[_COMPRESSION] in _LOSSLESS
            and len({*self.tags[_BITS]}) == 1
            and self.bits in (8, 16, 32, 64)
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        kind = _KINDS.get(self[_FORMAT], 'u')
        return np.dtype(f'{"u" if kind == "f" and self.bits == 8 else kind}{self.bits // 8}')

    @property
    def has_alpha(self) -> bool:
        """Whether the last band is alpha."""
        return bool(self.tags[_EXTRA]) and self.tags[_EXTRA][-1] in _ALPHA


def is_tiff(data: bytes) -> bool:
    """Return whether the first bytes are those of a TIFF or BigTIFF."""
    return data[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


def first_directory(file: BinaryIO) -> Directory:
    """Return the directory of the first image.

    Raises:
        UnreadableError: if it has no pixels, or more than `MAX_PIXELS`.
        struct.error: if it is damaged.
    """
    file.seek(0)
    head = file.read(16)
    order = '<' if head[:2] == b'II' else '>'
    start = (
        struct.unpack_from(f'{order}Q', head, 8) if _is_big(head, order) else struct.unpack_from(f'{order}I', head, 4)
    )
    directory = _directory(file, start[0])
    height, width = directory.size
    if height < 1 or width < 1:
        raise UnreadableError('its header states no size; save it again or remove it')
    if height * width > MAX_PIXELS:
        raise UnreadableError('its header states more pixels than can be read; cut it into tiles')
    return directory


def page_count(file: BinaryIO, maximum: int = 1000) -> int:
    """Return the number of pages, without thumbnails and masks, after reading at most `maximum` directories."""
    directory, count = first_directory(file), 0
    seen: set[int] = set()
    while True:
        count += directory.is_page
        if not directory.following or directory.following in seen or len(seen) >= maximum:
            return count
        seen.add(directory.following)
        directory = _directory(file, directory.following)


def _is_big(head: bytes, order: str) -> bool:
    """Return whether a file has 64-bit offsets."""
    return bool(struct.unpack_from(f'{order}H', head, 2)[0] == 43)


def _directory(file: BinaryIO, start: int) -> Directory:
    """Read the directory at an offset."""
    file.seek(0)
    head = file.read(4)
    order = '<' if head[:2] == b'II' else '>'
    big = _is_big(head, order)
    count_code, entry_code, entry_size, offset_code = ('Q', 'HHQ', 20, 'Q') if big else ('H', 'HHI', 12, 'I')
    end = file.seek(0, 2)
    file.seek(start)
    (count,) = struct.unpack(order + count_code, file.read(struct.calcsize(order + count_code)))
    if count > _MAX_ENTRIES:
        raise UnreadableError('its header is damaged; save it again or remove it')
    entries = file.read(count * entry_size)
    following = file.read(struct.calcsize(order + offset_code))
    tags = dict(_DEFAULTS)
    for position in range(0, count * entry_size, entry_size):
        tag, kind, number = struct.unpack_from(order + entry_code, entries, position)
        code = _CODES.get(kind)
        if tag not in tags or code is None or not number:
            continue
        length, place = number * struct.calcsize(code), position + struct.calcsize(order + entry_code)
        room = entry_size - struct.calcsize(order + entry_code)
        if length > room:
            (at,) = struct.unpack_from(order + offset_code, entries, place)
            if at + length > end:
                raise UnreadableError('it is cut off or damaged; replace or remove it')
            file.seek(at)
            tags[tag] = struct.unpack(f'{order}{number}{code}', file.read(length))
        else:
            tags[tag] = struct.unpack_from(f'{order}{number}{code}', entries, place)
    # Some writers omit the last offset.
    return Directory(order, tags, struct.unpack(order + offset_code, following)[0] if following else 0)


def read_bands(data: bytes, maximum: int = 3, shown: bool = True) -> Bands | None:
    """Decode the first image of a TIFF file.

    Args:
        data: the whole file.
        maximum: maximum number of bands to return.
        shown: whether to return values for which white is the highest, also if 0 is white in the file.

    Returns:
        `[H, W]`, or `[H, W, C]` for 3 bands or more, upright, with the stored dtype: any integer, float32 or float64.
        None if Pillow must try: for palettes, JPEG compression, fewer than 8 bits, grey with alpha.

    Raises:
        IncompleteError: if pixels lie beyond the end of the file.
        UnreadableError: unless the number of bands is 1, 3 or 4, or 2 with alpha; or if it is damaged.
    """
    directory = first_directory(io.BytesIO(data))
    if not directory.is_plain:
        return None
    _check_complete(directory, len(data))
    bands = directory.bands
    if bands not in (1, 3, 4) and not (bands == 2 and directory.has_alpha):
        raise UnreadableError(
            f'it has {bands} bands, must be 1 (grey), 3 (RGB) or 4; save three of them as an RGB image'
        )
    wanted = 1 if bands < 3 else min(bands, max(maximum, 3))
    if bands == 1 or directory[_PLANES] == 2:
        planes = [_decoded(data, directory, _plane_tags(directory, index), 1) for index in range(wanted)]
        pixels = planes[0] if wanted == 1 else np.stack(planes, axis=2)
    elif bands == 2:
        return None  # Pillow reads grey with alpha
    else:
        pixels = _decoded(data, directory, {}, bands)[..., :wanted]
    if shown and directory[_PHOTOMETRIC] == _GREY_WHITE and pixels.dtype.kind == 'u':
        pixels = np.iinfo(pixels.dtype).max - pixels
    return upright(pixels, directory.orientation)


def _check_complete(directory: Directory, length: int) -> None:
    """Refuse a file that is shorter than its pixels: a decoder would take the appended directory for them."""
    places, sizes = ([*directory.tags[strips], *directory.tags[tiles]] for strips, tiles in _PLACES_AND_SIZES)
    if directory[_COMPRESSION] == 1:
        pixels = directory[_HEIGHT] * directory[_WIDTH] * directory.bands * directory.bits // 8
        sizes = sizes or [pixels]  # some writers of a single strip omit its size
        if sum(sizes) < pixels:
            raise IncompleteError
    if any(place + size > length for place, size in zip_longest(places, sizes, fillvalue=0)):
        raise IncompleteError


def _plane_tags(directory: Directory, index: int) -> dict[int, tuple[int, ...]]:
    """Return the tags for the strips or tiles of one plane."""
    tags = {}
    for tag in _PER_PLANE:
        values = directory.tags[tag]
        count = len(values) // directory.bands if directory[_PLANES] == 2 else len(values)
        tags[tag] = values[index * count : (index + 1) * count]
    return tags


def _decoded(data: bytes, directory: Directory, changed: dict[int, tuple[int, ...]], bands: int) -> Bands:
    """Decode a number of bands with some tags changed; return the dtype of the directory."""
    dtype, bits = directory.dtype, directory.bits
    tags = {tag: directory.tags[tag] for tag in (*_LAYOUT, _WIDTH, _HEIGHT, _COMPRESSION, _PREDICTOR, _FILL_ORDER)}
    # OpenCV decodes a type of the same width that all its versions support; the bits are then viewed as `dtype`.
    plain = np.dtype(f'{"f" if bits >= 32 else "u"}{bits // 8}')
    tags |= changed | {
        _BITS: (bits,) * bands,
        _SAMPLES: (bands,),
        _FORMAT: (3 if bits >= 32 else 1,) * bands,
        _PHOTOMETRIC: (_GREY if bands == 1 else _RGB,),
        _PLANES: (1,),
        _EXTRA: (0,) * max(0, bands - 3),
    }
    if directory[_PREDICTOR] == 1:
        del tags[_PREDICTOR]
    rewritten = np.frombuffer(_with_directory(data, directory.order, tags), np.uint8)
    image = cv2.imdecode(rewritten, cv2.IMREAD_UNCHANGED)
    if image is None and bits == 8:  # OpenCV rejects some tile sizes
        tags[_EXTRA] = (2,) * max(0, bands - 3)
        return _by_pillow(_with_directory(data, directory.order, tags)).view(dtype)
    if image is None or image.dtype != plain or (image.ndim == 3) != (bands > 1):
        raise UnreadableError('it is damaged, or its compression is unknown; save it again or remove it')
    if bands > 1:
        to_rgb = cv2.COLOR_BGR2RGB if bands == 3 else cv2.COLOR_BGRA2RGBA
        is_convertible = bits <= 16  # by OpenCV
        image = cv2.cvtColor(image, to_rgb) if is_convertible else image[..., [2, 1, 0, 3][:bands]]
    values = np.ascontiguousarray(image).view(dtype)
    if dtype.kind == 'f' and bits == 16:
        return values.astype(np.float32)
    return values.astype(np.float64) if dtype.kind != 'f' and bits == 64 else values


def _by_pillow(data: bytes) -> Bands:
    """Decode one, three or four bands of 8 bits."""
    with open_image(io.BytesIO(data)) as image:
        if image.mode not in ('L', 'RGB', 'RGBA'):
            raise UnreadableError('it is damaged; save it again or remove it')
        return np.array(image)


def _with_directory(data: bytes, order: str, tags: dict[int, tuple[int, ...]]) -> bytes:
    """Return the file with a new directory appended; the pixels are not moved."""
    entries, arrays = [], b''
    start = len(data) + len(data) % 2
    present = sorted((tag, values) for tag, values in tags.items() if values)
    arrays_start = start + 2 + 12 * len(present) + 4
    for tag, values in present:
        short = max(values) < 1 << 16 and tag not in _PER_PLANE
        content = struct.pack(f'{order}{len(values)}{"H" if short else "I"}', *values)
        if len(content) > 4:
            content, arrays = (
                struct.pack(f'{order}I', arrays_start + len(arrays)),
                arrays + content + bytes(len(content) % 2),
            )
        entries.append(struct.pack(f'{order}HHI', tag, 3 if short else 4, len(values)) + content.ljust(4, b'\0'))
    head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(f'{order}I', start)
    directory = struct.pack(f'{order}H', len(entries)) + b''.join(entries) + bytes(4)
    return b''.join([head, data[8:], bytes(len(data) % 2), directory, arrays])
