"""The CSV files that competitions take: an image's name, and its labels from left to right and top to bottom."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from seglight.errors import DataError

UInt8Array = npt.NDArray[np.uint8]

HEADER = b'image_id,PredictionString\n'


def _digits() -> UInt8Array:
    """Return the digits of each number below 256 and a blank, `[256, 4]`, with zeros where there is nothing."""
    texts = (f'{number} '.encode().rjust(4, b'\0') for number in range(256))
    return np.stack([np.frombuffer(text, np.uint8) for text in texts])


_DIGITS = _digits()
#: The same for numbers below 10, each with its blank as one number of 16 bits.
_PAIRS = np.ascontiguousarray(_DIGITS[:10, 2:]).view(np.uint16).ravel()


def format_labels(mask: UInt8Array) -> bytes:
    """Return the labels of a mask in decimal, with blanks between them: `b'0 0 10 3'`.

    Args:
        mask: uint8 of any shape.
    """
    labels = mask.ravel()
    if labels.size and labels.max() < 10:
        return _PAIRS[labels].tobytes()[:-1]
    columns = 3 if labels.size and labels.max() < 100 else 4
    text = np.ascontiguousarray(_DIGITS[:, -columns:])[labels].tobytes()
    return text.translate(None, b'\0')[:-1]


def parse_labels(text: bytes) -> UInt8Array:
    """Return the labels that `format_labels` wrote, uint8 `[N]`.

    Raises:
        ValueError: if the text is not made of numbers from 0 to 255.
    """
    try:
        labels = np.array(np.fromstring(text.decode(), dtype=np.int64, sep=' '))
    except UnicodeDecodeError as error:
        raise ValueError('it is no text') from error
    if len(labels) != len(text.split()):
        raise ValueError('it holds more than numbers')
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(f'{labels.max()} is no label')
    return labels.astype(np.uint8)


def shrink(mask: UInt8Array, size: tuple[int, int] | None) -> UInt8Array:
    """Resize a mask `[H, W]` to height and width by nearest neighbour as OpenCV, mmcv and albumentations do."""
    if size is None or mask.shape == size:
        return mask
    resized = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return resized.astype(np.uint8, copy=False)


def row(image_id: str, text: bytes) -> bytes:
    """Return a line of the file, quoted as pandas and Python's csv do."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator='').writerow([image_id, ''])
    return buffer.getvalue().encode() + text + b'\n'


def read_rows(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the labels of each image of a file, one after the other.

    Raises:
        DataError: if it is no such file.
    """
    try:
        with path.open('rb') as file:
            if file.readline().replace(b'\r', b'') != HEADER:
                raise DataError(f'{path} is no submission: its first line is not {HEADER.decode().strip()}')
            for number, line in enumerate(file, 2):
                name, comma, text = line.rstrip(b'\r\n').rpartition(b',')
                if not comma:
                    raise DataError(f'{path}:{number} has no comma; a line is an image_id and its PredictionString')
                yield next(csv.reader([name.decode()]))[0], text
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error
