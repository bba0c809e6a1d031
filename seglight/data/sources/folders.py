"""A data set in two folders: images, and masks of the same names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from seglight.data.formats import IMAGE_SUFFIXES
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Context, Ignored, Source
from seglight.data.sources.columns import Part, Samples
from seglight.data.sources.folder_rows import FolderRows, Masks
from seglight.data.sources.labelmap import labels_of_colours
from seglight.data.sources.paths import paths_below, read_list, with_slashes
from seglight.data.sources.proposals import check_folder
from seglight.data.texts import Texts
from seglight.errors import DataError, UsageError


class FolderSource(Source):
    """Images in one folder, and masks with the same relative paths in another.

    Args:
        img_dir: folder of the images, possibly with subfolders; relative to `data.root`.
        ann_dir: folder of the masks; without it the images have none.
        img_suffix: end of the image files' names, such as `_leftImg8bit.png`; by default any image suffix.
        mask_suffix: replaces the image suffix in the names of the masks.
        split: text file with the names of the images to use, one per line, as in VOC.
        reduce_zero_label: whether to ignore label 0 and decrease the others by one, as in mmseg; by default
            `data.reduce_zero_label`.
        label_map: maps labels of the files (after `reduce_zero_label`) to class names or numbers; null ignores the
            label. Other labels are unchanged.
        ignore_colours: RGB colours to ignore in colour-coded masks, such as that of borders.
        nearest: whether to map each pixel to the nearest label of `label_map` (and of the classes it does not map to),
            or to the nearest colour of `data.palette`; for masks saved as JPEG or with soft edges.
        labelmap: a `labelmap.txt` of CVAT or Datumaro with the colour of each class, used instead of `data.palette`;
            relative to `data.root`.
        category_map: classes for other names in `labelmap`, such as `{sofa: couch}`; null ignores their pixels.
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
            raise UsageError('category_map needs a labelmap; use label_map to map labels')
        if labelmap is not None and (reduce_zero_label or label_map):
            raise UsageError(
                'labelmap is for colours, reduce_zero_label and label_map are for labels; set only one of them'
            )

    def samples(self, context: Context) -> Samples:
        """Return the images with their masks, sorted by path or in the order of the split file."""
        folder = context.path(self.img_dir)
        masks = None if self.ann_dir is None else context.path(self.ann_dir)
        not_images = self.mask_suffix if masks == folder else None
        images = find_rows(folder, self.img_suffix, not_images)
        if self.split is not None:
            images = images.take(_listed(images, context.path(self.split), folder))
        if masks is None:
            return Samples([Part(images)])
        check_folder(masks, 'mask folder', 'set data.root and data.ann_dir')
        return Samples([Part(images.with_masks(Masks(masks, self.mask_suffix, self._labels(context))))])

    def _labels(self, context: Context) -> LabelMap:
        """Return the map from labels or colours in the files to classes."""
        if self.labelmap is None:
            reduces = self._reduces_zero_label(context)
            return LabelMap.of(context, reduces, self.label_map, self.ignore_colours, self.nearest)
        colours = labels_of_colours(context.path(self.labelmap), self.category_map, context)
        return LabelMap.of(context, ignore_colours=self.ignore_colours, nearest=self.nearest, colours=colours)

    def _reduces_zero_label(self, context: Context) -> bool:
        """Return `reduce_zero_label` of the source, or else of the data."""
        return context.reduce_zero_label if self.reduce_zero_label is None else self.reduce_zero_label

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return whether pixels are ignored by `reduce_zero_label` or by the ignored label."""
        if self._reduces_zero_label(context):
            return Ignored('reduce_zero_label ignores label 0', 'reduce_zero_label: false')
        if self.labelmap is not None or context.ignore_index in (self.label_map or {}):
            return None
        mapped = {**(self.label_map or {}), context.ignore_index: name}
        pairs = ', '.join(f'{label}: {"null" if value is None else value}' for label, value in mapped.items())
        return Ignored(f'{context.ignore_index} is the ignored label', f'label_map: {{{pairs}}}')

    def mask_folder(self, context: Context) -> Path | None:
        """Return the folder of the masks, None if there is none or a split file selects images."""
        return context.path(self.ann_dir) if self.ann_dir is not None and self.split is None else None


def find_images(folder: Path) -> Samples:
    """Return the images below a folder, see `find_rows`."""
    return Samples([Part(find_rows(folder))])


def find_rows(folder: Path, suffix: str | None = None, excluded_suffix: str | None = None) -> FolderRows:
    """Return the images below a folder, sorted by path, without masks.

    Of images that differ only in their suffix, only the first is usable.

    Args:
        folder: where to look.
        suffix: end of the file names; by default any image suffix.
        excluded_suffix: end of the names of files to exclude.

    Raises:
        DataError: if a folder is missing, cannot be read or contains no image.
    """
    check_folder(folder, 'image folder', 'set data.root and data.img_dir')
    found = [
        path
        for path in paths_below(folder)
        if is_image_name(path[path.rfind('/') + 1 :])
        and path.endswith(suffix or '')
        and not (excluded_suffix and path.endswith(excluded_suffix))
    ]
    if not found:
        raise DataError(f'The folder {folder} contains no image ({suffix or ", ".join(sorted(IMAGE_SUFFIXES))})')
    found.sort(key=lambda path: path.replace('/', '\0'))  # by the parts of the path
    return FolderRows(folder, Texts.of(found), suffix)


def is_image(path: Path) -> bool:
    """Return whether a path has an image suffix and is not hidden, like macOS's `._a.jpg`."""
    return is_image_name(path.name)


def is_image_name(name: str) -> bool:
    """Return whether the name of a file has an image suffix and is not hidden."""
    return name[name.rfind('.') :].lower() in IMAGE_SUFFIXES and not name.startswith('.')


def _listed(images: FolderRows, file: Path, folder: Path) -> list[int]:
    """Return the rows of the images in a split file, once each; the file may omit their suffixes."""
    known: dict[str, list[int]] = defaultdict(list)
    for row, (name, path) in enumerate(zip(images.names(), images.relative, strict=True)):
        for text in {name, path}:
            known[text].append(row)
    listed: dict[int, None] = {}
    for line in read_list(file):
        name = line if line in known else with_slashes(line)
        if name not in known:
            raise DataError(f'{file} names {line}, but {folder} contains no such image; correct the list or the folder')
        listed.update(dict.fromkeys(known[name]))
    return list(listed)
