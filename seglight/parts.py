"""Parts of a prediction: which images each one has, and the record in its folder for `seglight join`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seglight.errors import UsageError
from seglight.files import write_atomically
from seglight.names import name_fault
from seglight.plain_text import load_json

#: The file of the record in the folder of a part.
RECORD = 'part.json'

#: The file of the facts of a prediction, which are the same in all parts.
FACTS = 'predicted_by.yaml'

#: The usual folder of pseudo labels; in it, their config, and the folders of their images and masks.
PSEUDO, PSEUDO_CONFIG, IMAGES, MASKS = 'pseudo_labels', 'data.yaml', 'img_dir', 'ann_dir'


@dataclass(frozen=True)
class Part:
    """One of the parts that a prediction is divided into.

    Attributes:
        number: of the part, from 1.
        parts: the number of all parts.
    """

    number: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Return the part of a text, `3 of 8` or `3/8`.

        Raises:
            UsageError: if it is not one.
        """
        found = re.fullmatch(r'\s*(\d{1,9})\s*(?:of|/)\s*(\d{1,9})\s*', text, re.ASCII)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--part must look like '3 of 8' (starting at 1), got '{text}'")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """Return the text that `parse` takes."""
        return f'{self.number} of {self.parts}'

    @property
    def folder(self) -> str:
        """The name of its folder; those of several parts are sorted by their numbers."""
        return f'part_{self.number:0{len(str(self.parts))}}_of_{self.parts}'

    def images(self, count: int, batch_size: int = 1) -> range:
        """Return the positions of its images.

        Each part has whole batches, except the last batch of all, as long as there is one for each part: an image is
        then predicted together with the same others as in a single run.

        Args:
            count: number of all images.
            batch_size: images in a batch.

        Raises:
            UsageError: if there are fewer images than parts.
        """
        if count < self.parts:
            raise UsageError(f'--part: {count} images cannot be divided into {self.parts} parts; use at most {count}')
        unit = batch_size if count >= self.parts * batch_size else 1
        units = -(-count // unit)
        first, end = (unit * (units * number // self.parts) for number in (self.number - 1, self.number))
        return range(first, min(end, count))


@dataclass
class Record:
    """What the folder of a part records.

    Attributes:
        part: the part, as `Part` writes it.
        first: the position of its first image.
        count: number of all images of the prediction.
        images: a checksum of the names of all images, in order.
        names: its images: the path of each below the folder of its source.
        stems: the path of each without its suffix, as the files of its predictions are named.
        settings: what its predictions depend on, without secrets.
        versions: of packages.
        folders: the folders with a file for each image, and the suffix of these files.
        files: the files with all images, and the kind of each.
        failed: those of its images that could not be predicted.
        is_done: whether all others are predicted.
    """

    part: str
    first: int
    count: int
    images: str
    names: list[str]
    stems: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    is_done: bool = False

    @property
    def end(self) -> int:
        """The position after its last image."""
        return self.first + len(self.names)

    @property
    def predicted_stems(self) -> dict[str, str]:
        """The stem of each of its images without those that failed, by name."""
        failed = set(self.failed)
        return {name: stem for name, stem in zip(self.names, self.stems, strict=True) if name not in failed}

    def write(self, folder: Path) -> None:
        """Write it to the folder of the part."""
        write_atomically(folder / RECORD, json.dumps(asdict(self), indent=1).encode())


def read_record(folder: Path) -> Record:
    """Read the record of a part.

    Raises:
        UsageError: if it is missing or damaged.
    """
    path = folder / RECORD
    try:
        values = load_json(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f'{path} cannot be read: {error.strerror}') from error
    try:
        record = Record(**values)
        Part.parse(record.part)
    except (TypeError, UsageError) as error:
        raise UsageError(f'{path} is damaged; predict the part again') from error
    if not (_has_its_types(record) and _names_files(record)):
        raise UsageError(f'{path} is damaged; predict the part again')
    return record


def pseudo_folders(folder: Path) -> dict[str, str]:
    """Return the arguments of a `FolderSource` that name the images and masks in a folder of pseudo labels."""
    return {'img_dir': str((folder / IMAGES).resolve()), 'ann_dir': str((folder / MASKS).resolve())}


def _has_its_types(record: Record) -> bool:
    """Return whether the values are of the types of the attributes, since anyone may have edited the file."""
    lists = (record.names, record.stems, record.failed)
    tables = (record.folders, record.files, record.versions)
    return (
        all(isinstance(each, list) and _are_texts(each) for each in lists)
        and all(isinstance(each, dict) and _are_texts(each.values()) for each in tables)
        and len(record.stems) == len(record.names)
        and isinstance(record.images, str)
        and all(type(number) is int and number >= 0 for number in (record.first, record.count))
        and isinstance(record.settings, dict)
        and isinstance(record.is_done, bool)
    )


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _names_files(record: Record) -> bool:
    """Return whether its folders and files lie in the folder of the part itself, and its suffixes end file names."""
    names = [*record.folders, *record.files, *(f'a{suffix}' for suffix in record.folders.values())]
    return not any(name_fault(name) or Path(name).name != name for name in names)
