"""Put the files of several parts together that have all their images: CSV, run lengths, zip and COCO JSON."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from seglight import submissions
from seglight.errors import UsageError
from seglight.plain_text import load_json
from seglight.zip_directory import ERRORS

#: The file of each part, and the images that it must have, in order: the stem of each by its name.
Files = Sequence[tuple[Path, Mapping[str, str]]]


def join_labels(files: Files, target: BinaryIO) -> None:
    """Write a CSV file with the rows of all parts."""
    _join_rows(files, target, submissions.HEADER, one_each=True)


def join_runs(files: Files, target: BinaryIO) -> None:
    """Write a CSV file of run lengths, which has several rows for each image, with the rows of all parts."""
    _join_rows(files, target, submissions.RUNS_HEADER, one_each=False)


def _join_rows(files: Files, target: BinaryIO, header: bytes, one_each: bool) -> None:
    target.write(header)
    for path, names in files:
        with _opened(path) as file:
            if file.readline() != header:
                _damaged(path, f'its first line must be {header.decode().strip()}')
            remaining, start = iter(names), None
            for line in file:
                if start is None or one_each or not line.startswith(start):
                    start = _start_of_row(next(remaining, None))
                if start is None or not line.startswith(start) or not line.endswith(b'\n'):
                    _damaged(path, f'it must have rows for its {len(names)} images in order')
                target.write(line)
            if (name := next(remaining, None)) is not None:
                _damaged(path, f"it has no row for '{name}'")


def _start_of_row(name: str | None) -> bytes | None:
    return None if name is None else submissions.row(name, b'').rstrip(b'\n')


def join_zips(files: Files, target: BinaryIO) -> None:
    """Write a zip with the masks of all parts."""
    with zipfile.ZipFile(target, 'w', zipfile.ZIP_STORED) as joined:
        for path, stems in files:
            with _opened(path) as file:
                try:
                    with zipfile.ZipFile(file) as source:
                        if any(each.compress_type != zipfile.ZIP_STORED for each in source.infolist()):
                            _damaged(path, 'its masks must not be compressed once more')
                        if source.namelist() != [f'{stem}.png' for stem in stems.values()]:
                            _damaged(path, f'it must have the masks of its {len(stems)} images in order')
                        for stem in stems.values():
                            joined.writestr(submissions.zipped_mask(stem), source.read(f'{stem}.png'))
                except ERRORS as error:
                    _damaged(path, str(error))


def join_coco(files: Files, target: BinaryIO) -> None:
    """Write a COCO JSON with the images and the annotations of all parts, numbered anew."""
    images: list[dict[str, Any]] = []
    categories: Any = []
    count = 0
    target.write(b'{"annotations": [')
    for path, names in files:
        with _opened(path) as file:
            values = load_json(file.read(), str(path))
        first = len(images)
        try:
            own, annotations, categories = values['images'], values['annotations'], values['categories']
            if [image['file_name'] for image in own] != list(names):
                _damaged(path, f'it must have its {len(names)} images in order')
            images += ({**image, 'id': first + number} for number, image in enumerate(own, 1))
            for annotation in annotations:
                count += 1
                numbered = {**annotation, 'id': count, 'image_id': first + annotation['image_id']}
                target.write(b', ' * (count > 1) + json.dumps(numbered).encode())
        except (TypeError, LookupError):
            _damaged(path, 'it is not one that predict --coco writes')
    target.write(b'], ' + json.dumps({'images': images, 'categories': categories}).encode()[1:])


#: What puts the files of each kind together.
JOINERS: dict[str, Callable[[Files, BinaryIO], None]] = {
    'labels': join_labels,
    'rle': join_runs,
    'zip': join_zips,
    'coco': join_coco,
}


def _opened(path: Path) -> BinaryIO:
    """Open a file of a part.

    Raises:
        UsageError: if it is missing.
    """
    if not path.is_file():
        raise UsageError(f'join: {path} is missing; predict the part again')
    return path.open('rb')


def _damaged(path: Path, why: str) -> NoReturn:
    raise UsageError(f'join: {path} is damaged: {why}; predict the part again')
