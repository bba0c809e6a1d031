"""The samples of LabelMe files in columns, whose shapes are read with each image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from seglight.data.images import image_size
from seglight.data.sources.base import Sample, bad_name
from seglight.data.sources.columns import Rows
from seglight.data.sources.labelme.columns import LabelMeFiles
from seglight.data.sources.labelme.file import LabelMeFile
from seglight.data.sources.labelme.shapes import Shapes
from seglight.names import name_fault

#: Content of a file without shapes.
_EMPTY = LabelMeFile(shapes=[], imageHeight=None, imageWidth=None)


class LabelMeRows(Rows):
    """The images of LabelMe files.

    Args:
        files: the JSON files.
        labels: by the names of shapes.
        background: label of pixels without a shape.
    """

    labelled = True

    def __init__(self, files: LabelMeFiles, labels: Mapping[str, int], background: int) -> None:
        self.files = files
        self.labels = [labels[name] for name in files.labels]
        self.background = background
        self.name = files.name
        self.key = files.key
        self.unread: dict[int, str] = {int(row): text for row, text in files.more['faults'].items()}
        self.known_faults = {**self.unread, **dict(self._name_faults())}

    def _name_faults(self) -> Iterator[tuple[int, str]]:
        """Yield the images whose name must not be part of a path."""
        for row, name in enumerate(self.names()):
            fault = name_fault(name)
            if fault and row not in self.unread:
                yield row, bad_name(self.files.image_paths[row], fault)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.files)

    def sample(self, row: int) -> Sample:
        """Return an image with its shapes."""
        image, name = Path(self.files.image_paths[row]), self.files.paths[row].removesuffix('.json')
        shapes = None if row in self.unread else StoredShapes(self.files, row, image, self.labels, self.background)
        return Sample(image, name, shapes, fault=self.known_faults.get(row))

    def names(self) -> Iterator[str]:
        """Yield the names of the images."""
        return (path.removesuffix('.json') for path in self.files.paths)

    def images(self) -> Iterator[str]:
        """Yield the paths of the images."""
        return iter(self.files.image_paths)

    def folders(self) -> list[str]:
        """Return the folders of the images; the state of each JSON file is part of the key."""
        return sorted(each for each, state in self.files.more['folders'].items() if state != 'missing')

    def faults(self) -> Iterator[str]:
        """Yield why images cannot be used."""
        return iter(self.known_faults.values())


class StoredShapes(Shapes):
    """The shapes of one image, read from its file when they are painted.

    Args:
        files: the JSON files.
        row: of the file.
        image: the image file.
        labels: of each name of a shape by its index.
        background: label of pixels without a shape.
    """

    def __init__(self, files: LabelMeFiles, row: int, image: Path, labels: list[int], background: int) -> None:
        super().__init__(files.path(row), image, _EMPTY, {}, background)
        self._files = files
        self._row = row
        self._by_index = labels

    def size(self) -> tuple[int, int]:
        """Return height and width from the file, or else from the image."""
        return self._files.size(self._row) or image_size(self._image)

    def _labels(self) -> list[int]:
        return [self._by_index[index] for index in self._files.shapes(self._row)]

    def _read(self) -> LabelMeFile:
        return self._files.read(self._row) if self._files.shapes(self._row) else self._file
