"""CSV files for competitions: each image's name, and its labels from left to right and top to bottom."""

from __future__ import annotations

import codecs
import csv
import io
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from seglight.array_types import UInt8Array
from seglight.errors import DataError
from seglight.files import as_bytes

HEADER = b'image_id,PredictionString\n'

#: The header of run lengths.
RUNS_HEADER = b'image_id,class_id,EncodedPixels\n'

#: The time of every file in a zip, so that equal masks give equal bytes.
TIME = (1980, 1, 1, 0, 0, 0)

#: A minus that is not the sign of a number.
STRAY_SIGN = re.compile(rb'-(?!\d)|\d-')

#: Maximum number of pixels of a row, and its limit in bytes, so that no file can exhaust memory.
MAX_LABELS = 1 << 26
LONGEST_ROW = 4 * MAX_LABELS


def _digits() -> UInt8Array:
    """Return the digits of each number below 256 and a space, `[256, 4]`, left-padded with zero bytes."""
    texts = (f'{number} '.encode().rjust(4, b'\0') for number in range(256))
    return np.stack([np.frombuffer(text, np.uint8) for text in texts])


_DIGITS = _digits()
#: The same for numbers below 10, each with its space as one 16-bit number.
_PAIRS = np.ascontiguousarray(_DIGITS[:10, 2:]).view(np.uint16).ravel()


def format_labels(mask: UInt8Array) -> bytes:
    """Return the labels of a mask in decimal, separated by spaces: `b'0 0 10 3'`.

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
        ValueError: if the text contains anything but numbers from 0 to 255.
    """
    other = text.translate(None, b'0123456789 \t\n\r\v\f')
    if other.strip(b'-') or (other and STRAY_SIGN.search(text)):
        raise ValueError('it must contain only numbers')
    if other:
        raise ValueError('labels must be 0 to 255')
    labels = np.fromstring(text.decode(), dtype=np.int64, sep=' ')
    if len(labels) != len(text.split()):  # of spaces alone numpy makes a zero
        raise ValueError('it must contain only numbers')
    if labels.size and labels.max() > 255:
        raise ValueError('labels must be 0 to 255')
    return labels.astype(np.uint8)


def shrink(mask: UInt8Array, size: tuple[int, int] | None) -> UInt8Array:
    """Resize a mask `[H, W]` to height and width by nearest neighbour as OpenCV, mmcv and albumentations do."""
    if size is None or mask.shape == size:
        return mask
    resized = cv2.resize(mask, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return resized.astype(np.uint8, copy=False)


def zipped_mask(name: str) -> zipfile.ZipInfo:
    """Return the entry of an image's mask in a zip."""
    return zipfile.ZipInfo(f'{name}.png', TIME)


def row(image_id: str, text: bytes) -> bytes:
    """Return a row of the file, quoted as by pandas and Python's csv module."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator='').writerow([image_id, ''])
    return as_bytes(buffer.getvalue()) + text + b'\n'


class Submission:
    """The rows of a file by image, read one at a time and in any order.

    Args:
        path: the file, as `row` or pandas writes it.

    Raises:
        DataError: if it is not a submission, or contains an image twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, int] = {}
        if path.exists() and not path.is_file():  # reading a pipe could block forever
            raise DataError(f'{path} cannot be read: it is not a regular file')
        try:
            with path.open('rb') as file:
                first = file.readline(LONGEST_ROW).removeprefix(codecs.BOM_UTF8)  # which spreadsheets write
                if first.replace(b'\r', b'') != HEADER:
                    raise DataError(f'{path} is not a submission of labels: {_other_kind(first)}')
                self._find_rows(file)
        except OSError as error:
            raise DataError(f'{path} cannot be read: {error.strerror}') from error

    @property
    def names(self) -> list[str]:
        """The `image_id` of each row, in the order of the file."""
        return list(self._places)

    def labels(self, name: str) -> UInt8Array:
        """Return the labels of an image, uint8 `[N]`.

        Raises:
            DataError: if they are not numbers from 0 to 255.
        """
        with self.path.open('rb') as file:
            file.seek(self._places[name])
            text = file.readline(LONGEST_ROW).rstrip(b'\r\n').rpartition(b',')[2]
        try:
            return parse_labels(text)
        except ValueError as error:
            raise DataError(f"{self.path}: the PredictionString of '{name}' is wrong: {error}") from error

    def _find_rows(self, file: BinaryIO) -> None:
        """Store the offset of each row."""
        place, number = file.tell(), 1
        while line := file.readline(LONGEST_ROW):
            number += 1
            if len(line) == LONGEST_ROW:
                raise DataError(f'{self.path}:{number} must be shorter than {LONGEST_ROW} bytes')
            name = _image_id(line)
            if name is None:
                raise DataError(f'{self.path}:{number} must be an image_id, a comma and its PredictionString')
            if name in self._places:
                raise DataError(f"{self.path}:{number} names '{name}' a second time; remove one of the rows")
            self._places[name] = place
            place = file.tell()


def _other_kind(first: bytes) -> str:
    """Return what a file is instead, by its first line, and what to do."""
    if first.startswith(b'PK'):
        return 'it is a zip; extract it, and give the folder of its masks'
    if first.replace(b'\r', b'') == RUNS_HEADER:
        return 'it has run lengths, which do not tell the size of the masks; give the folders of masks'
    return f'its first line must be {HEADER.decode().strip()}'


def _image_id(line: bytes) -> str | None:
    """Return the `image_id` of a row, None if the line is not a row."""
    name, comma, _ = line.rstrip(b'\r\n').rpartition(b',')
    try:
        fields = next(csv.reader([name.decode(errors='surrogateescape')], strict=True), [])
    except csv.Error:
        return None
    return fields[0] if comma and len(fields) == 1 and fields[0] else None
