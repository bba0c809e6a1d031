"""LabelMe files in columns: the image, its size and the names of its shapes, which stay in the files."""

from __future__ import annotations

import hashlib
import json
from array import array
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seglight.data.column_files import Array, Columns, cached, is_settled, state
from seglight.data.sources.file_states import FileStates, check_unchanged, file_states
from seglight.data.sources.folders import find_rows
from seglight.data.sources.labelme.file import LabelMeFile, read_labelme
from seglight.data.sources.paths import path_in, paths_below, with_slashes
from seglight.data.texts import Texts
from seglight.errors import DataError

#: The columns: of files their size and time, height and width of the image (0 if they do not give both), the first of
#: their shapes, and the path of the image; of shapes their name, as an index; and what is known of all as JSON.
TYPES = {
    'size': '<i8',
    'time': '<i8',
    'height': '<i4',
    'width': '<i4',
    'first': '<i8',
    'image': '|u1',
    'image_end': '<i8',
    'label': '<i4',
    'more': '|u1',
}


class LabelMeFiles:
    """The JSON files in a folder, sorted by path.

    Args:
        folder: the folder.
        images: folder of the images; None if the files give their paths, or they are beside them.

    Raises:
        DataError: if there is none.
    """

    def __init__(self, folder: Path, images: Path | None) -> None:
        self.folder = folder
        self.images = images
        found = (path for path in paths_below(folder) if path.endswith('.json'))
        paths = [path for path in found if path[path.rfind('/') + 1] != '.']
        if not paths:
            raise DataError(f'The folder {folder} contains no LabelMe .json file')
        self.paths = Texts.of(sorted(paths, key=lambda path: path.replace('/', '\0')))  # by the parts of the path
        states = file_states(str(folder / path) for path in self.paths)
        self.name = f'labelme {folder.absolute()} {images and images.absolute()}'
        digest = hashlib.blake2b(self.paths.data.tobytes() + self.paths.ends.tobytes(), digest_size=20).hexdigest()
        self.key = f'{folder} {images} {digest} {states.key}'
        self.columns = cached(
            self.name,
            self.key if states.settled else '',
            TYPES,
            lambda columns: self._is_sound(columns, states),
            lambda: {'size': states.sizes, 'time': states.times, **_Builder(self).columns()},
        )

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self.paths)

    @cached_property
    def more(self) -> dict[str, Any]:
        """What is known of all files.

        The `labels` of all shapes, sorted, the `faults` of files by row, and the `folders` in which images were looked
        for, with their states.
        """
        found: dict[str, Any] = json.loads(self.columns['more'].tobytes())
        return found

    @property
    def labels(self) -> list[str]:
        """The names of all shapes, sorted."""
        return list(self.more['labels'])

    @property
    def image_paths(self) -> Texts:
        """The path of each image."""
        return Texts(self.columns['image'], self.columns['image_end'])

    def path(self, row: int) -> Path:
        """Return the path of a file."""
        return self.folder / self.paths[row]

    def size(self, row: int) -> tuple[int, int] | None:
        """Return height and width of an image, None if its file does not give them."""
        height, width = int(self.columns['height'][row]), int(self.columns['width'][row])
        return (height, width) if height else None

    def shapes(self, row: int) -> list[int]:
        """Return the name of each shape of a file, as an index into `labels`."""
        first, last = self.columns['first'][row : row + 2].tolist()
        return list(self.columns['label'][first:last].tolist())

    def read(self, row: int) -> LabelMeFile:
        """Read a file.

        Raises:
            DataError: if it has changed since the start.
        """
        path = self.path(row)
        check_unchanged(path, int(self.columns['size'][row]), int(self.columns['time'][row]))
        return read_labelme(path)

    def _is_sound(self, columns: Columns, states: FileStates) -> bool:
        """Return whether columns from the cache fit the files, and no image was added or removed since."""
        count, first = len(self), columns['first']
        if not (np.array_equal(columns['size'], states.sizes) and np.array_equal(columns['time'], states.times)):
            return False
        images = Texts(columns['image'], columns['image_end'])
        if not len(columns['height']) == len(columns['width']) == len(images) == len(first) - 1 == count or first[0]:
            return False
        if (np.diff(first) < 0).any() or first[-1] != len(columns['label']) or not images.is_sound():
            return False
        try:
            more = json.loads(columns['more'].tobytes())
            known = all(0 <= int(row) < count for row in more['faults']) and all(more['folders'].values())
            labels = columns['label']
            fits = not len(labels) or 0 <= labels.min() <= labels.max() < len(more['labels'])
            sides = min(columns['height'].min(), columns['width'].min()) >= 0
            return (
                known
                and fits
                and sides
                and all(_state(Path(each)) == more['folders'][each] for each in more['folders'])
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False


class _Builder:
    """Reads all files into columns."""

    def __init__(self, files: LabelMeFiles) -> None:
        self.files = files
        self.folders: set[Path] = set()
        self.beside = _images_by_name(files.folder if files.images is None else files.images)

    def columns(self) -> dict[str, Array]:
        """Return the columns but for the states of the files."""
        numbers: dict[str, int] = {}
        faults: dict[int, str] = {}
        sides, first, labels = array('i'), array('q', [0]), array('i')
        images, ends = bytearray(), array('q')
        for row in range(len(self.files)):
            path, file = self.files.path(row), None
            try:
                file = read_labelme(path)
            except DataError as error:
                faults[row] = str(error)
            height, width = (None, None) if file is None else (file.imageHeight, file.imageWidth)
            sides.extend((height, width) if height is not None and width is not None else (0, 0))
            labels.extend(numbers.setdefault(shape.label, len(numbers)) for shape in (file.shapes if file else ()))
            first.append(len(labels))
            images += str(self._image(path, row, None if file is None else file.imagePath)).encode(
                errors='surrogatepass'
            )
            ends.append(len(images))
        order = sorted(numbers)
        place = np.zeros(max(len(numbers), 1), np.int32)
        place[[numbers[name] for name in order]] = np.arange(len(order))
        folders = {str(folder): _state(folder) for folder in self.folders}
        both = np.array(sides, np.int32)
        return {
            'height': both[::2].copy(),
            'width': both[1::2].copy(),
            'first': np.array(first, np.int64),
            'image': np.frombuffer(bytes(images), np.uint8),
            'image_end': np.array(ends, np.int64),
            'label': place[np.array(labels, np.int32)],
            'more': np.frombuffer(
                json.dumps({'labels': order, 'faults': faults, 'folders': folders}).encode(), np.uint8
            ),
        }

    def _image(self, path: Path, row: int, image_path: str | None) -> Path:
        """Return the image of a file, and note the folders that it was looked for in."""
        images = self.files.images
        name = self.files.paths[row].removesuffix('.json')
        self.folders.add(((images or self.files.folder) / name).parent)
        if image_path and images is None and not Path(image_path.replace('\0', '')).is_absolute():
            self.folders.add(path_in(path.parent, image_path.replace('\0', '')).parent)
        image = _image(path, image_path, images, self.beside.get(name))
        self.folders.add(image.parent)
        return image


def _state(folder: Path) -> str:
    """Return a text that changes with the names in a folder; empty if a change may not show."""
    try:
        found = state(folder)
    except (FileNotFoundError, NotADirectoryError):
        return 'missing'
    except OSError:
        return ''
    return found if is_settled([folder]) else ''


def _images_by_name(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by name; empty if there are none, since JSON files may give their paths."""
    try:
        rows = find_rows(folder)
    except DataError:
        return {}
    found: dict[str, Path] = {}
    for name, path in zip(rows.names(), rows.relative, strict=True):
        found.setdefault(name, folder / path)
    return found


def _image(path: Path, image_path: str | None, images: Path | None, beside: Path | None) -> Path:
    """Return the image of a JSON file: by its `imagePath`, below `images` if given, or else by its own name.

    Only the last part of an absolute path is used, since it is often from another computer.
    """
    given = '' if image_path is None else image_path.replace('\0', '')
    last = with_slashes(given).rpartition('/')[2]
    if images is None and given and not Path(given).is_absolute():
        named = path_in(path.parent, given)
        if named.is_file():
            return named
    if beside is not None:
        return beside
    return path.with_name(last) if last and images is None else (images or path.parent) / (last or f'{path.stem}.jpg')
