"""The images of a folder in columns, with their masks in another folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seglight.array_types import UInt8Array
from seglight.data.images import image_size
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Annotation, Sample, bad_name
from seglight.data.sources.columns import Rows
from seglight.data.texts import Texts
from seglight.names import name_fault


class MaskFile(Annotation):
    """A mask file."""

    def __init__(self, path: Path, labels: LabelMap) -> None:
        self._path = path
        self.labels = labels

    @property
    def path(self) -> Path:
        """The mask file."""
        return self._path

    def read(self) -> UInt8Array:
        """Return the label of each pixel, uint8 `[H, W]`."""
        return self.labels.read(self._path)

    def size(self) -> tuple[int, int]:
        """Return height and width from the file's header."""
        return image_size(self._path)

    def fingerprint(self) -> str:
        """Return a text that changes with the file and the label map."""
        return f'{super().fingerprint()} {self.labels}'


class Masks(NamedTuple):
    """The masks of a folder of images: their folder, the end of their names, and the classes of their labels."""

    folder: Path
    suffix: str
    labels: LabelMap


class FolderRows(Rows):
    """The images of a folder.

    Args:
        folder: the folder.
        relative: the paths of the images below it, with slashes.
        suffix: end of the paths that is not part of the names; by default that from the last dot on.
        masks: the masks, None if there are none.
        faults: why images cannot be used, by row; found if it is not given.
    """

    def __init__(
        self,
        folder: Path,
        relative: Texts,
        suffix: str | None = None,
        masks: Masks | None = None,
        faults: dict[int, str] | None = None,
    ) -> None:
        self.folder = folder
        self.relative = relative
        self.suffix = suffix
        self.masks = masks
        self.labelled = masks is not None
        self.known_faults = dict(self._faults()) if faults is None else faults
        place = None if masks is None else f'{masks.folder.absolute()} {masks.suffix}'
        self.name = f'folder {folder.absolute()} {suffix} {place}'
        digest = hashlib.blake2b(relative.data.data, digest_size=20)
        digest.update(relative.ends.data)
        self.key = digest.hexdigest()

    def with_masks(self, masks: Masks) -> FolderRows:
        """Return the same images with masks."""
        return FolderRows(self.folder, self.relative, self.suffix, masks, self.known_faults)

    def take(self, rows: Sequence[int]) -> FolderRows:
        """Return some of the images, without masks."""
        faults = {new: self.known_faults[old] for new, old in enumerate(rows) if old in self.known_faults}
        return FolderRows(self.folder, Texts.of(self.relative[row] for row in rows), self.suffix, faults=faults)

    def _faults(self) -> Iterator[tuple[int, str]]:
        """Yield the images that share their name with one before, and those whose name must not be part of a path."""
        for row, name in enumerate(self.names()):
            fault = name_fault(name)
            if fault:
                yield row, bad_name(self.folder / self.relative[row], fault)
        hashes = np.fromiter(map(hash, self.names()), np.int64, len(self))
        values, counts = np.unique(hashes, return_counts=True)
        firsts: dict[str, int] = {}
        for row in np.flatnonzero(np.isin(hashes, values[counts > 1])).tolist():
            path = self.relative[row]
            first = firsts.setdefault(self._name(path), row)
            if first != row:
                yield row, _twin_fault(self.folder / path, self.folder / self.relative[first])

    def _name(self, path: str) -> str:
        """Return the name of an image: its path without suffix."""
        return path.removesuffix(self.suffix) if self.suffix else path[: path.rfind('.')]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.relative)

    def sample(self, row: int) -> Sample:
        """Return an image with its mask."""
        path = self.relative[row]
        name = self._name(path)
        mask = None
        if self.masks is not None:
            mask = MaskFile(self.masks.folder / f'{name}{self.masks.suffix}', self.masks.labels)
        return Sample(self.folder / path, name, mask, fault=self.known_faults.get(row))

    def names(self) -> Iterator[str]:
        """Yield the names of the images."""
        return map(self._name, self.relative)

    def images(self) -> Iterator[str]:
        """Yield the paths of the images."""
        start = str(self.folder / '_')[:-1]  # with a separator, empty for the working folder
        return (f'{start}{path}' for path in self.relative)

    def mask_files(self) -> Iterator[tuple[str, str]]:
        """Yield the path of each mask, and the name of its image."""
        if self.masks is not None:
            start = str(self.masks.folder / '_')[:-1]
            yield from ((f'{start}{name}{self.masks.suffix}', name) for name in self.names())

    def folders(self) -> list[str]:
        """Return the folders of the images and of the masks."""
        below = {path[: path.rfind('/') + 1] for path in self.relative}
        folders = [self.folder] if self.masks is None else [self.folder, self.masks.folder]
        return sorted(str(folder / each) for folder in folders for each in below)

    def faults(self) -> Iterator[str]:
        """Yield why images cannot be used."""
        return iter(self.known_faults.values())


def _twin_fault(path: Path, first: Path) -> str:
    """Return the message for an image with the same name as another."""
    return f'{path} has the name of {first.name} beside it; their masks have the same name; rename or remove one'
