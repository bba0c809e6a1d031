"""A data set in two folders: images, and masks with the same names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from seglight.data.images import UInt8Array, image_size
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Annotation, Context, Sample, Source, kind_of
from seglight.errors import DataError

IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'})


class MaskFile(Annotation):
    """A mask in a file of its own."""

    def __init__(self, path: Path, labels: LabelMap) -> None:
        self._path = path
        self.labels = labels

    @property
    def path(self) -> Path:
        """The mask file."""
        return self._path

    def read(self) -> UInt8Array:
        """Return the class of each pixel, uint8 `[H, W]`."""
        return self.labels.read(self._path)

    def size(self) -> tuple[int, int]:
        """Return height and width from the file's header."""
        return image_size(self._path)

    def fingerprint(self) -> str:
        """Return what tells the file and the map."""
        return f'{super().fingerprint()} {self.labels}'


class FolderSource(Source):
    """Images below one folder and, at the same places below another, their masks.

    Args:
        img_dir: folder of the images, with any folders inside; relative to `data.root`.
        ann_dir: folder of the masks; without it the images have none.
        img_suffix: end of the image files' names, such as `_leftImg8bit.png`; by default any image.
        mask_suffix: what the mask's name has in the place of the image's suffix.
        split: text file with the names of the images to take, one to a line, as in VOC.
        reduce_zero_label: label 0 is ignored and the others move down by one, as in mmseg; by default what
            `data.reduce_zero_label` says.
        label_map: the class of a label of the files (after `reduce_zero_label`), by its name or its number;
            null ignores the label. Labels that are not named stay.
        ignore_colours: RGB colours of colour-coded masks that are ignored, such as a border's.
    """

    def __init__(
        self,
        img_dir: str,
        ann_dir: str | None = None,
        img_suffix: str | None = None,
        mask_suffix: str = '.png',
        split: str | None = None,
        reduce_zero_label: bool | None = None,
        label_map: dict[int, int | str | None] | None = None,
        ignore_colours: Sequence[Sequence[int]] = (),
    ) -> None:
        self.img_dir = img_dir
        self.ann_dir = ann_dir
        self.img_suffix = img_suffix
        self.mask_suffix = mask_suffix
        self.split = split
        self.reduce_zero_label = reduce_zero_label
        self.label_map = label_map
        self.ignore_colours = ignore_colours

    def samples(self, context: Context) -> list[Sample]:
        """Return every image with its mask, sorted by path, or in the order of the split file."""
        folder = context.path(self.img_dir)
        masks = None if self.ann_dir is None else context.path(self.ann_dir)
        not_images = self.mask_suffix if masks == folder else None
        images = find_images(folder, self.img_suffix, not_images)
        if self.split is not None:
            images = _listed(images, context.path(self.split), folder)
        if masks is None:
            return images
        if kind_of(masks) != 'folder':
            raise DataError(f'The mask folder {masks} does not exist; set data.root and data.ann_dir to where yours is')
        reduces = context.reduce_zero_label if self.reduce_zero_label is None else self.reduce_zero_label
        labels = LabelMap.of(context, reduces, self.label_map, self.ignore_colours)
        return [replace(each, mask=MaskFile(masks / f'{each.name}{self.mask_suffix}', labels)) for each in images]

    def mask_folder(self, context: Context) -> Path | None:
        """Return the folder of the masks, None if there is none or a split file names the images."""
        return context.path(self.ann_dir) if self.ann_dir is not None and self.split is None else None


def find_images(folder: Path, suffix: str | None = None, without: str | None = None) -> list[Sample]:
    """Return the images in a folder and the folders in it, sorted by path, without masks.

    Of images that differ in their suffix alone, the first can be used.

    Args:
        folder: where to look.
        suffix: what an image's file name ends with, by default that of any image format.
        without: what the name of a file that is none of the images ends with.

    Raises:
        DataError: if a folder is missing, cannot be read or holds no image.
    """
    if kind_of(folder) != 'folder':
        raise DataError(f'The image folder {folder} does not exist; set data.root and data.img_dir to where yours is')
    paths = sorted(path for path in _files(folder) if is_image(path) and path.name.endswith(suffix or ''))
    paths = [path for path in paths if not (without and path.name.endswith(without))]
    if not paths:
        raise DataError(f'The folder {folder} holds no image ({suffix or ", ".join(sorted(IMAGE_SUFFIXES))})')
    firsts: dict[str, Path] = {}
    images = []
    for path in paths:
        name = name_below(path, folder, suffix)
        first = firsts.setdefault(name, path)
        images.append(Sample(path, name, fault=None if first == path else _twin_fault(path, first)))
    return images


def _twin_fault(path: Path, first: Path) -> str:
    """Return what is wrong with an image that has the name of another."""
    return f'{path} has the name of {first.name} beside it; their masks could not be told apart, rename or remove one'


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, and the links that lead nowhere: whoever reads those tells of them."""

    def refuse(error: OSError) -> None:
        raise DataError(f'The folder {error.filename} cannot be read: {error.strerror}') from error

    for parent, _, names in os.walk(folder, onerror=refuse):
        yield from (Path(parent, name) for name in names)


def is_image(path: Path) -> bool:
    """Tell whether the path of a file is that of an image; hidden ones, such as macOS's `._a.jpg`, are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def name_below(path: Path, folder: Path, suffix: str | None = None) -> str:
    """Return the name of an image: its path below a folder without its suffix."""
    relative = path.relative_to(folder)
    return relative.as_posix().removesuffix(suffix) if suffix else relative.with_suffix('').as_posix()


def read_list(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty; bytes that are no UTF-8 stay those of file names.

    Raises:
        DataError: if it cannot be read or holds none.
    """
    try:
        text = path.read_text(encoding='utf-8-sig', errors='surrogateescape')
    except OSError as error:
        raise DataError(f'The list of images {path} cannot be read: {error.strerror}') from error
    if '\0' in text:
        raise DataError(f'The list of images {path} is no text in UTF-8; give one image path a line')
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise DataError(f'The list of images {path} is empty')
    return names


def _listed(images: Sequence[Sample], file: Path, folder: Path) -> list[Sample]:
    """Return the images that a split file names, once each, with or without their suffixes."""
    known: dict[str, list[Sample]] = defaultdict(list)
    for image in images:
        for text in {image.name, image.image.relative_to(folder).as_posix()}:
            known[text].append(image)
    listed: dict[Sample, None] = {}
    for line in read_list(file):
        if line not in known:
            raise DataError(f'{file} names {line}, but {folder} holds no such image; correct the list or the folder')
        listed.update(dict.fromkeys(known[line]))
    return list(listed)
