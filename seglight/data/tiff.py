"""The bands of TIFF files as they are stored.

OpenCV and Pillow both read some kinds wrongly without an error: bands in planes, grey bands beside each other, signed
integers, transparency that is multiplied in. So the header is read here, and OpenCV, with libtiff, gets a directory
that says what it decodes rightly: one grey band, or three or four that lie pixel by pixel.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from seglight.data.formats import MAX_PIXELS, UnreadableError, open_image
from seglight.data.orientation import upright, valid

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANES, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA, _FORMAT, _SUBFILE = 322, 323, 324, 325, 338, 339, 254

#: The tags that say how pixels lie in the file, and what each is where it is absent.
_DEFAULTS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys((_STRIPS, _STRIP_SIZES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA), ()),
    **dict.fromkeys((_BITS, _COMPRESSION, _FILL_ORDER, _SAMPLES, _PLANES, _PREDICTOR, _FORMAT, _ORIENTATION), (1,)),
    _WIDTH: (0,),
    _HEIGHT: (0,),
    _PHOTOMETRIC: (1,),
    _SUBFILE: (0,),
}
_LAYOUT = (_STRIPS, _STRIP_SIZES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES)
_PER_PLANE = (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES)
_CODES = {1: 'B', 3: 'H', 4: 'I', 16: 'Q'}  #: the types of whole numbers
_MOST_ENTRIES = 4096  #: of a directory
_LOSSLESS = {1, 5, 8, 32773, 32946, 34925, 50000}  #: none, LZW, deflate, PackBits, deflate, LZMA, Zstandard
_GREY_WHITE, _GREY, _RGB = 0, 1, 2
_KINDS = {1: 'u', 2: 'i', 3: 'f'}  #: of numpy, by `SampleFormat`; 4 is not defined, and taken for whole numbers
_ALPHA = (1, 2)  #: what an extra band may be; 0 is not specified

Bands = npt.NDArray[Any]


@dataclass(frozen=True)
class Directory:
    """How one image of a TIFF file is stored.

    Attributes:
        order: `<` or `>`, the order of bytes.
        tags: the values of each tag that says so.
        following: where the next image's directory begins, 0 for none.
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
        """1 to 8, as in EXIF."""
        return valid(self[_ORIENTATION])

    @property
    def bands(self) -> int:
        """How many values a pixel has."""
        return self[_SAMPLES]

    @property
    def bits(self) -> int:
        """How many bits each of them has."""
        return self[_BITS]

    @property
    def is_page(self) -> bool:
        """Whether the image is one of its own; not another's smaller version or mask."""
        return not self[_SUBFILE] & 0b101

    @property
    def is_plain(self) -> bool:
        """Whether the bands are grey values or RGB, stored without loss, of one type that numpy has."""
        return (
            self[_PHOTOMETRIC] in (_GREY_WHITE, _GREY, _RGB)
            and self[_COMPRESSION] in _LOSSLESS
            and len({*self.tags[_BITS]}) == 1
            and self.bits in (8, 16, 32, 64)
        )

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        kind = _KINDS.get(self[_FORMAT], 'u')
        return np.dtype(f'{"u" if kind == "f" and self.bits == 8 else kind}{self.bits // 8}')

    @property
    def has_alpha(self) -> bool:
        """Whether the last band is the transparency."""
        return bool(self.tags[_EXTRA]) and self.tags[_EXTRA][-1] in _ALPHA


def is_tiff(data: bytes) -> bool:
    """Tell whether a file that begins like this is a TIFF or a BigTIFF."""
    return data[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')


def first_directory(file: BinaryIO) -> Directory:
    """Return the directory of the first image.

    Raises:
        UnreadableError: if there is none, or it states more pixels than are read.
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
        raise UnreadableError('its header states no size; save it anew or remove it')
    if height * width > MAX_PIXELS:
        raise UnreadableError('its header states more pixels than can be read; cut it into tiles')
    return directory


def page_count(file: BinaryIO, most: int = 1000) -> int:
    """Return how many images there are in a file, without smaller versions and masks of others; `most` at most."""
    directory, count = first_directory(file), 0
    seen: set[int] = set()
    while True:
        count += directory.is_page
        if not directory.following or directory.following in seen or len(seen) >= most:
            return count
        seen.add(directory.following)
        directory = _directory(file, directory.following)


def _is_big(head: bytes, order: str) -> bool:
    """Tell whether a file has 64-bit offsets."""
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
    if count > _MOST_ENTRIES:
        raise UnreadableError('its header is damaged; save it anew or remove it')
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
    # Some writers leave the last offset out.
    return Directory(order, tags, struct.unpack(order + offset_code, following)[0] if following else 0)


def read_bands(data: bytes, most: int = 3) -> Bands | None:
    """Decode the first image of a TIFF file.

    Args:
        data: the whole file.
        most: how many bands to return at most.

    Returns:
        `[H, W]`, or `[H, W, C]` with 3 bands or more, upright, of the type that is stored: integers of any kind,
        float32 or float64. None for other kinds than grey and RGB (a palette, JPEG inside, less than 8 bits),
        which Pillow reads.

    Raises:
        UnreadableError: if the number of bands is none of 1, 3 or 4, or 2 with transparency; or if it is damaged.
    """
    directory = first_directory(io.BytesIO(data))
    if not directory.is_plain:
        return None
    bands = directory.bands
    if bands not in (1, 3, 4) and not (bands == 2 and directory.has_alpha):
        raise UnreadableError(
            f'it has {bands} bands, while images have 1 (grey), 3 (RGB) or 4; save three of them as an RGB image'
        )
    wanted = 1 if bands < 3 else min(bands, max(most, 3))
    if bands == 1 or directory[_PLANES] == 2:
        planes = [_decoded(data, directory, _plane_tags(directory, index), 1) for index in range(wanted)]
        pixels = planes[0] if wanted == 1 else np.stack(planes, axis=2)
    elif bands == 2:
        return None  # Pillow reads grey with transparency
    else:
        pixels = _decoded(data, directory, {}, bands)[..., :wanted]
    if directory[_PHOTOMETRIC] == _GREY_WHITE and pixels.dtype.kind == 'u':
        pixels = np.iinfo(pixels.dtype).max - pixels
    return upright(pixels, directory.orientation)


def _plane_tags(directory: Directory, index: int) -> dict[int, tuple[int, ...]]:
    """Return the tags of one plane's part of the strips or tiles."""
    tags = {}
    for tag in _PER_PLANE:
        values = directory.tags[tag]
        count = len(values) // directory.bands if directory[_PLANES] == 2 else len(values)
        tags[tag] = values[index * count : (index + 1) * count]
    return tags


def _decoded(data: bytes, directory: Directory, changed: dict[int, tuple[int, ...]], bands: int) -> Bands:
    """Decode so many bands of the part of a file that the changed tags describe, as `dtype` says."""
    dtype, bits = directory.dtype, directory.bits
    tags = {tag: directory.tags[tag] for tag in (*_LAYOUT, _WIDTH, _HEIGHT, _COMPRESSION, _PREDICTOR, _FILL_ORDER)}
    # Bits are bits: OpenCV decodes the types that all its versions know, and they are seen as what they are.
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
    if image is None and bits == 8:  # OpenCV does not take some sizes of tiles
        tags[_EXTRA] = (2,) * max(0, bands - 3)
        return _by_pillow(_with_directory(data, directory.order, tags)).view(dtype)
    if image is None or image.dtype != plain or (image.ndim == 3) != (bands > 1):
        raise UnreadableError('it is damaged, or its compression is not known; save it anew or remove it')
    if bands > 1:
        fast = bits <= 16  # OpenCV turns no others
        to_rgb = cv2.COLOR_BGR2RGB if bands == 3 else cv2.COLOR_BGRA2RGBA
        image = cv2.cvtColor(image, to_rgb) if fast else image[..., [2, 1, 0, 3][:bands]]
    values = np.ascontiguousarray(image).view(dtype)
    if dtype.kind == 'f' and bits == 16:
        return values.astype(np.float32)
    return values.astype(np.float64) if dtype.kind != 'f' and bits == 64 else values


def _by_pillow(data: bytes) -> Bands:
    """Decode one, three or four bands of 8 bits."""
    with open_image(io.BytesIO(data)) as image:
        if image.mode not in ('L', 'RGB', 'RGBA'):
            raise UnreadableError('it is damaged; save it anew or remove it')
        return np.array(image)


def _with_directory(data: bytes, order: str, tags: dict[int, tuple[int, ...]]) -> bytes:
    """Return a file with another directory behind its pixels, which stay where they are."""
    entries, arrays = [], b''
    start = len(data) + len(data) % 2
    present = sorted((tag, values) for tag, values in tags.items() if values)
    behind = start + 2 + 12 * len(present) + 4
    for tag, values in present:
        short = max(values) < 1 << 16 and tag not in _PER_PLANE
        content = struct.pack(f'{order}{len(values)}{"H" if short else "I"}', *values)
        if len(content) > 4:
            content, arrays = struct.pack(f'{order}I', behind + len(arrays)), arrays + content + bytes(len(content) % 2)
        entries.append(struct.pack(f'{order}HHI', tag, 3 if short else 4, len(values)) + content.ljust(4, b'\0'))
    head = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(f'{order}I', start)
    directory = struct.pack(f'{order}H', len(entries)) + b''.join(entries) + bytes(4)
    return b''.join([head, data[8:], bytes(len(data) % 2), directory, arrays])
