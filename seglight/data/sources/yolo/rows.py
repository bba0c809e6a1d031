"""YOLO text files in columns: the class of each polygon, while the points stay in the files."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seglight.array_types import Float32Array
from seglight.data.column_files import Array, Columns, cached
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Rows
from seglight.data.sources.file_states import FileStates, check_unchanged, file_states
from seglight.data.sources.folder_rows import FolderRows
from seglight.data.sources.yolo.lines import Line, Polygons, read_yolo
from seglight.errors import DataError

#: The columns: of images the size and the time of their text file (-1 if there is none), and the first of their
#: polygons; of polygons the number of their class; and what is known of all as JSON.
TYPES = {'size': '<i8', 'time': '<i8', 'first': '<i8', 'number': '<i8', 'more': '|u1'}


class YoloFiles:
    """The text files of a folder of images.

    Args:
        images: the images.
        folder: of the text files.
        names: of the classes, by their numbers.

    Raises:
        DataError: if no image has a text file.
    """

    def __init__(self, images: FolderRows, folder: Path, names: Mapping[int, str]) -> None:
        self.images = images
        self.folder = folder
        self.names = dict(names)
        states = file_states(str(self.path(name)) for name in images.names())
        if not (states.sizes >= 0).any():
            raise DataError(f'{folder} has no .txt file with the name of an image; correct label_dir')
        self.name = f'yolo {images.name} {folder.absolute()}'
        self.key = f'{images.key} {folder} {self.names} {states.key}'
        self.columns = cached(
            self.name,
            self.key if states.settled else '',
            TYPES,
            lambda columns: self._is_sound(columns, states),
            lambda: {'size': states.sizes, 'time': states.times, **self._made(states.sizes)},
        )

    def path(self, name: str) -> Path:
        """Return the text file of an image by its name."""
        return self.folder / f'{name}.txt'

    @cached_property
    def more(self) -> dict[str, Any]:
        """What is known of all files.

        The numbers of `lines` and of those that are `boxes`, the `first` of these, the numbers of classes that are
        `drawn`, and the `faults` of files by row.
        """
        found: dict[str, Any] = json.loads(self.columns['more'].tobytes())
        return found

    def numbers(self, row: int) -> list[int]:
        """Return the class of each polygon of an image."""
        first, last = self.columns['first'][row : row + 2].tolist()
        return list(self.columns['number'][first:last].tolist())

    def lines(self, row: int, path: Path) -> list[Line]:
        """Read the polygons of an image.

        Raises:
            DataError: if its text file has changed since the start.
        """
        if not self.numbers(row):
            return []
        check_unchanged(path, int(self.columns['size'][row]), int(self.columns['time'][row]))
        return [line for line in read_yolo(path, self.names) if line.points is not None]

    def _made(self, sizes: Array) -> dict[str, Array]:
        """Read all files."""
        first, numbers = array('q', [0]), array('q')
        faults: dict[int, str] = {}
        lines, boxes, first_box = 0, 0, ''
        for row, name in enumerate(self.images.names()):
            found: list[Line] = []
            if sizes[row] >= 0:
                try:
                    found = read_yolo(self.path(name), self.names)
                except DataError as error:
                    faults[row] = str(error)
            lines += len(found)
            for at, line in enumerate(found, 1):
                if line.points is not None:
                    numbers.append(line.number)
                    continue
                boxes += 1
                first_box = first_box or f'{self.path(name).name}:{at}'
            first.append(len(numbers))
        more = {'lines': lines, 'boxes': boxes, 'first': first_box, 'drawn': sorted(set(numbers)), 'faults': faults}
        return {
            'first': np.array(first, np.int64),
            'number': np.array(numbers, np.int64),
            'more': np.frombuffer(json.dumps(more).encode(), np.uint8),
        }

    def _is_sound(self, columns: Columns, states: FileStates) -> bool:
        """Return whether columns from the cache fit the files, the images and the classes."""
        count, first = len(self.images), columns['first']
        if not (np.array_equal(columns['size'], states.sizes) and np.array_equal(columns['time'], states.times)):
            return False
        if len(first) != count + 1 or first[0]:
            return False
        if (np.diff(first) < 0).any() or first[-1] != len(columns['number']):
            return False
        try:
            more = json.loads(columns['more'].tobytes())
            rows = [int(row) for row in more['faults']]
            known = {*more['drawn']} == {*np.unique(columns['number']).tolist()} <= self.names.keys()
            return known and all(0 <= row < count for row in rows) and {'lines', 'boxes', 'first'} <= more.keys()
        except (ValueError, KeyError, TypeError, RecursionError):
            return False


class YoloRows(Rows):
    """The images of YOLO text files.

    Args:
        files: the text files.
        labels: of the classes by their numbers.
        background: label of pixels without a polygon.
    """

    labelled = True

    def __init__(self, files: YoloFiles, labels: Mapping[int, int], background: int) -> None:
        self.files = files
        self.labels = dict(labels)
        self.background = background
        self.name = files.name
        self.key = files.key
        self.known_faults: dict[int, str] = {int(row): text for row, text in files.more['faults'].items()}
        self.known_faults |= files.images.known_faults

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files.images)

    def sample(self, row: int) -> Sample:
        """Return an image with its polygons."""
        image = self.files.images.sample(row)
        path = self.files.path(image.name) if self.files.columns['size'][row] >= 0 else image.image
        mask = StoredPolygons(self.files, row, path, image.image, self.labels, self.background)
        return Sample(image.image, image.name, mask, fault=self.known_faults.get(row))

    def names(self) -> Iterator[str]:
        """Yield the names of the images."""
        return self.files.images.names()

    def images(self) -> Iterator[str]:
        """Yield the paths of the images."""
        return self.files.images.images()

    def folders(self) -> list[str]:
        """Return the folders of the images; the state of each text file is part of the key."""
        return self.files.images.folders()

    def faults(self) -> Iterator[str]:
        """Yield why images cannot be used."""
        return iter(self.known_faults.values())


class StoredPolygons(Polygons):
    """The polygons of one image, read from its text file when they are painted.

    Args:
        files: the text files.
        row: of the image.
        path: its text file, or the image if there is none.
        image: the image file.
        labels: of the classes by their numbers.
        background: label of pixels without a polygon.
    """

    def __init__(
        self, files: YoloFiles, row: int, path: Path, image: Path, labels: Mapping[int, int], background: int
    ) -> None:
        super().__init__(path, image, (), background)
        self._files = files
        self._row = row
        self._label_of = labels

    def _labels(self) -> list[int]:
        return [self._label_of[number] for number in self._files.numbers(self._row)]

    def _read(self) -> list[tuple[int, Float32Array]]:
        lines = self._files.lines(self._row, self._path)
        return [(self._label_of[line.number], line.points) for line in lines if line.points is not None]
