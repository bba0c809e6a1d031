"""The samples of a large COCO file, whose objects are read with each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seglight.data.sources.base import Sample, bad_name
from seglight.data.sources.coco.columns import CocoFile
from seglight.data.sources.coco.file import coco_image
from seglight.data.sources.coco.objects import Objects
from seglight.data.sources.columns import Rows
from seglight.errors import DataError
from seglight.names import name_fault


class CocoRows(Rows):
    """The images of a large COCO file.

    Args:
        file: the file.
        folder: that each `file_name` is relative to.
        labels: of each category by its index.
        background: label of pixels without an object.

    Raises:
        DataError: if a `file_name` is invalid or leads out of the folder, or two mean one file.
    """

    labelled = True

    def __init__(self, file: CocoFile, folder: Path, labels: Sequence[int], background: int) -> None:
        self.file = file
        self.folder = folder
        self.labels = labels
        self.background = background
        self.name = f'{file.path.absolute()} {folder.absolute()}'
        self.key = file.status
        #: image and name of those with unusual characters, by row
        self.odd: dict[int, tuple[Path, str]] = {}
        known = set(file.names) if len(file.columns['odd']) else set()
        for row in file.columns['odd'].tolist():
            given = file.names[row]
            known.discard(given)
            image, name = coco_image(file.path, given, file.id(row), folder)
            relative = image.relative_to(folder).as_posix()
            if relative in known:
                raise DataError(f"{file.path}: two images have the file_name '{given}'; keep one")
            known.add(relative)
            self.odd[row] = image, name

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.file)

    def folders(self) -> list[str]:
        """Return the folders of the images."""
        odd = {str(image.parent) for image, _ in self.odd.values()}
        return sorted({str(self.folder / name) for name in self.file.more['folders']} | odd)

    def sample(self, row: int) -> Sample:
        """Return an image with its objects."""
        image, name = self.odd[row] if row in self.odd else self._plain(self.file.names[row])
        fault = name_fault(name) if row in self.odd else None
        reason = bad_name(image, fault) if fault else None
        return Sample(image, name, StoredObjects(self.file, row, self.labels, self.background), fault=reason)

    def _plain(self, given: str) -> tuple[Path, str]:
        return self.folder / given, _stem(given)

    def names(self) -> Iterator[str]:
        """Yield the names of the images."""
        for row, given in enumerate(self.file.names):
            yield self.odd[row][1] if row in self.odd else _stem(given)

    def images(self) -> Iterator[str]:
        """Yield the paths of the images."""
        folder = str(self.folder / '_')[:-1]  # with a separator, empty for the working folder
        for row, given in enumerate(self.file.names):
            yield str(self.odd[row][0]) if row in self.odd else f'{folder}{given}'

    def faults(self) -> Iterator[str]:
        """Yield the faults in names."""
        return (fault for row in self.odd if (fault := self.sample(row).fault) is not None)


class StoredObjects(Objects):
    """The objects of one image of a large COCO file, read from it when they are painted.

    Args:
        file: the file.
        row: of the image.
        labels: of each category by its index.
        background: label of pixels without an object.
    """

    def __init__(self, file: CocoFile, row: int, labels: Sequence[int], background: int) -> None:
        super().__init__(file.path, {}, (), background)
        self._file = file
        self._row = row
        self._label_of = labels

    def size(self) -> tuple[int, int]:
        """Return height and width from the columns."""
        return self._file.size(self._row)

    def _id(self) -> str:
        return self._file.id(self._row)

    def _labels(self) -> list[int]:
        return [self._label_of[category] for category in self._file.categories(self._row)]

    def _read(self) -> list[tuple[int, dict[str, Any]]]:
        return list(zip(self._labels(), self._file.annotations(self._row), strict=True))


def _stem(given: str) -> str:
    """Return a path without its suffix."""
    end = given.rfind('.')
    return given[:end] if end > given.rfind('/') else given
