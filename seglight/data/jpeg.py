"""JPEG decoding with libjpeg-turbo: the same pixels as OpenCV in little more than half the time."""

from __future__ import annotations

import numpy as np
import simplejpeg

from seglight.array_types import UInt8Array
from seglight.data.formats import MAX_PIXELS, IncompleteError, UnreadableError
from seglight.data.orientation import jpeg_may_be_turned, orientation_in, upright

#: Warnings of libjpeg that mean lost pixels. Others, such as for an unknown version or extra bytes, are harmless.
_LOSSES = (
    'Premature end of JPEG file',
    'premature end of data segment',
    'bad Huffman code',
    'bad arithmetic code',
    'instead of RST',
)


def decode_jpeg(data: bytes) -> UInt8Array | None:
    """Decode a JPEG, upright according to its EXIF orientation.

    Args:
        data: the whole file; bytes after the end of the image are ignored.

    Returns:
        uint8 `[H, W, 3]` RGB, or None if another decoder must try: for other formats, and for JPEGs that
        libjpeg-turbo rejects.

    Raises:
        IncompleteError: if pixels are missing, which other decoders would fill with grey.
        UnreadableError: for more than `MAX_PIXELS`.
    """
    if not data.startswith(b'\xff\xd8\xff'):
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            raise UnreadableError('it has more pixels than can be read; cut it into tiles')
        image = np.asarray(simplejpeg.decode_jpeg(data), dtype=np.uint8)
    except UnreadableError:
        raise
    except ValueError as error:
        if any(loss in str(error) for loss in _LOSSES):
            raise IncompleteError(str(error)) from error
        return None
    return upright(image, orientation_in(data) if jpeg_may_be_turned(data) else 1)
