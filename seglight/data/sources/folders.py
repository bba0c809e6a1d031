"""A data set in two folders: images, and masks with the same names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seglight.array_types import UInt8Array
from seglight.data.formats import IMAGE_SUFFIXES
from seglight.data.images import image_size
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Annotation, Context, Ignored, Sample, Source, kind_of
from seglight.data.sources.labelmap import labels_of_colours
from seglight.data.sources.paths import files_below, read_list, with_slashes
from seglight.errors import DataError, UsageError


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
        nearest: each pixel gets the class of the nearest label that `label_map` gives (a class that it does not give
            keeps its number), or of the nearest colour of `data.palette`; for masks saved as JPEG or with soft edges.
        labelmap: a `labelmap.txt` of CVAT or Datumaro, which gives the colours of classes by their names, in place of
            `data.palette`; relative to `data.root`.
        category_map: the class of a name in `labelmap` that is no class, such as `{sofa: couch}`; null ignores its
            pixels.
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
        nearest: bool = False,
        labelmap: str | None = None,
        category_map: dict[str, str | None] | None = None,
    ) -> None:
        self.img_dir = img_dir
        self.ann_dir = ann_dir
        self.img_suffix = img_suffix
        self.mask_suffix = mask_suffix
        self.split = split
        self.reduce_zero_label = reduce_zero_label
        self.label_map = label_map
        self.ignore_colours = ignore_colours
        self.nearest = nearest
        self.labelmap = labelmap
        self.category_map = category_map or {}
        if labelmap is None and self.category_map:
            raise UsageError('category_map is for names in a labelmap; label_map gives the classes of labels')
        if labelmap is not None and (reduce_zero_label or label_map):
            raise UsageError('labelmap is for colours, reduce_zero_label and label_map are for labels; give one')

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
            raise DataError(f'The mask folder {masks} does not exist; set data.root and data.ann_dir to yours')
        labels = self._labels(context)
        return [replace(each, mask=MaskFile(masks / f'{each.name}{self.mask_suffix}', labels)) for each in images]

    def _labels(self, context: Context) -> LabelMap:
        """Return what turns the labels or colours of the files into classes."""
        if self.labelmap is None:
            reduces = self._reduces_zero_label(context)
            return LabelMap.of(context, reduces, self.label_map, self.ignore_colours, self.nearest)
        colours = labels_of_colours(context.path(self.labelmap), self.category_map, context)
        return LabelMap.of(context, ignore_colours=self.ignore_colours, nearest=self.nearest, colours=colours)

    def _reduces_zero_label(self, context: Context) -> bool:
        """Tell whether label 0 is ignored: as the source says, or else as the data does."""
        return context.reduce_zero_label if self.reduce_zero_label is None else self.reduce_zero_label

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return what ignores pixels: the label that is ignored, or label 0 if it is reduced."""
        if self._reduces_zero_label(context):
            return Ignored('reduce_zero_label ignores label 0', 'reduce_zero_label: false')
        if self.labelmap is not None or context.ignore_index in (self.label_map or {}):
            return None
        mapped = {**(self.label_map or {}), context.ignore_index: name}
        pairs = ', '.join(f'{label}: {"null" if value is None else value}' for label, value in mapped.items())
        return Ignored(f'{context.ignore_index} is the ignored label', f'label_map: {{{pairs}}}')

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
        raise DataError(f'The image folder {folder} does not exist; set data.root and data.img_dir to yours')
    paths = sorted(path for path in files_below(folder) if is_image(path) and path.name.endswith(suffix or ''))
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
    return f'{path} has the name of {first.name} beside it; their masks have the same name; rename or remove one'


def is_image(path: Path) -> bool:
    """Tell whether the path of a file is that of an image; hidden ones, such as macOS's `._a.jpg`, are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')


def name_below(path: Path, folder: Path, suffix: str | None = None) -> str:
    """Return the name of an image: its path below a folder without its suffix."""
    relative = path.relative_to(folder)
    return relative.as_posix().removesuffix(suffix) if suffix else relative.with_suffix('').as_posix()


def _listed(images: Sequence[Sample], file: Path, folder: Path) -> list[Sample]:
    """Return the images that a split file names, once each, with or without their suffixes."""
    known: dict[str, list[Sample]] = defaultdict(list)
    for image in images:
        for text in {image.name, image.image.relative_to(folder).as_posix()}:
            known[text].append(image)
    listed: dict[Sample, None] = {}
    for line in read_list(file):
        name = line if line in known else with_slashes(line)
        if name not in known:
            raise DataError(f'{file} names {line}, but {folder} holds no such image; correct the list or the folder')
        listed.update(dict.fromkeys(known[name]))
    return list(listed)
