"""The dataset classes of mmseg as sources."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)
from seglight.config.settings import Settings
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Context, Ignored, Sample, Source, kind_of
from seglight.data.sources.folder_rows import MaskFile
from seglight.data.sources.paths import is_hidden, read_list
from seglight.errors import DataError, UsageError, one_line
from seglight.similar import nearest


class MmsegSource(Source):
    """A dataset class of mmseg, with its suffixes and `reduce_zero_label`; labels are mapped by class name.

    The classes of the run may be a subset of the dataset's, in any order, and may include others from other sources.
    Pixels of all other classes of the dataset are ignored.

    Args:
        dataset: name of the class, such as `CityscapesDataset`.
        img_dir: folder of the images, relative to `data_root`.
        ann_dir: folder of the masks, relative to `data_root`.
        split: text file with the names of the images, relative to `data_root`.
        data_root: relative to `data.root`.
        category_map: classes of the run for classes of the dataset with other names, such as `{road: Road}`; null
            ignores their pixels.
        label_map: classes of the run for labels of the files (after `reduce_zero_label`), such as `{255: vessel}`;
            overrides the dataset's classes; null ignores the label.
        img_suffix: end of the names of images; by default that of the class.
        seg_map_suffix: end of the names of masks; by default that of the class.
        reduce_zero_label: whether label 0 is ignored and 1 is the first class; by default that of the class.
    """

    def __init__(
        self,
        dataset: str,
        img_dir: str,
        ann_dir: str | None = None,
        split: str | None = None,
        data_root: str = '',
        category_map: dict[str, str | None] | None = None,
        label_map: dict[int, int | str | None] | None = None,
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        reduce_zero_label: bool | None = None,
    ) -> None:
        self.dataset = dataset
        self.img_dir = img_dir
        self.ann_dir = ann_dir
        self.split = split
        self.data_root = data_root
        self.category_map = category_map or {}
        self.label_map = label_map
        # Other arguments of mmseg's classes are not accepted: some make mmcv import modules.
        options = {
            'img_suffix': img_suffix,
            'seg_map_suffix': seg_map_suffix,
            'reduce_zero_label': reduce_zero_label,
        }
        self.options: dict[str, Any] = {name: value for name, value in options.items() if value is not None}

    def samples(self, context: Context) -> list[Sample]:
        """Return the images in mmseg's order."""
        root = context.path(self.data_root)
        images, masks = root / self.img_dir, root / self.ann_dir if self.ann_dir else None
        for folder in (images, masks):
            if folder and kind_of(folder) != 'folder':
                raise DataError(f'{self.dataset}: the folder {folder} does not exist; set data.root')
        split = root / self.split if self.split else None
        if split and kind_of(split) != 'file':
            raise DataError(f'{self.dataset}: the split {split} does not exist')
        if split:
            read_list(split)  # mmseg reads it without limits
        moved = self._moved(context)
        built = self._build(images, masks, split)
        infos = [info for info in built.img_infos if split or not is_hidden(images / info['filename'], images)]
        if not infos:
            raise DataError(f'{self.dataset}: {images} contains no image that ends with {built.img_suffix}')
        given = LabelMap.of(context, label_map=self.label_map).classes
        labels = LabelMap(context.palette, context.ignore_index, built.reduce_zero_label, {**moved, **given})
        samples = []
        for info in infos:
            image = images / info['filename']
            if kind_of(image) != 'file':
                raise DataError(f'{self.dataset}: {split} names {image}, which does not exist')
            mask = MaskFile(masks / info['ann']['seg_map'], labels) if masks else None
            name = Path(info['filename'].removesuffix(built.img_suffix)).as_posix()
            samples.append(Sample(image, name, mask))
        return samples

    def mask_folder(self, context: Context) -> Path | None:
        """Return the folder of the masks, None if there is none or a split file selects images."""
        return context.path(self.data_root) / self.ann_dir if self.ann_dir and not self.split else None

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return that the ignored label ignores pixels, unless it is mapped."""
        if context.ignore_index in (self.label_map or {}):
            return None
        cause = f'{context.ignore_index} is the ignored label, and so are classes that are not in data.classes'
        return Ignored(cause, f'label_map: {{{context.ignore_index}: {name}}}')

    def _moved(self, context: Context) -> dict[int, int]:
        """Return the label in the run for each label of the dataset that changes.

        Raises:
            DataError: if `category_map` has an unknown class, if the dataset has no class of the run, or if an
                unmapped class has nearly the name of a class of the run.
        """
        names, known = list(context.classes), dataset_classes(self.dataset)[0]
        for name, value in self.category_map.items():
            if name not in known:
                raise DataError(f"category_map: {self.dataset} has no class '{name}'{nearest(name, known)}")
            if value is not None and value not in names:
                raise DataError(f"category_map: '{value}' is not in data.classes{nearest(value, names)}")
        wanted = [self.category_map.get(name, name) for name in known]
        spare = [name for name, value in zip(known, wanted, strict=True) if value == name and name not in names]
        absent = [name for name in names if name not in wanted]
        if len(absent) == len(names):
            raise DataError(
                f"{self.dataset} has no class '{names[0]}' of data.classes, nor any other of them; "
                'map its class names with category_map in its source'
            )
        for name in absent:  # it may come from another source, unless it looks like a typo
            for near in difflib.get_close_matches(name, spare, n=1):
                raise DataError(
                    f"{self.dataset} has no class '{name}' of data.classes, but '{near}'; correct it, or "
                    f'set category_map: {{{near}: {name}}} in its source, or {{{near}: null}} if that is another class'
                )
        labels = [names.index(value) if value in names else context.ignore_index for value in wanted]
        return {old: new for old, new in enumerate(labels) if old != new}

    def _build(self, images: Path, masks: Path | None, split: Path | None) -> Any:
        """Build mmseg's dataset, which finds the files."""
        options = {**self.options, 'classes': None, 'split': str(split) if split else None}
        if split is None and self.dataset not in ('PascalVOCDataset', 'PascalContextDataset', 'PascalContextDataset59'):
            del options['split']  # some classes do not accept it
        if masks:
            options['ann_dir'] = str(masks)
        try:
            with _silence():
                return _dataset_class(self.dataset)(pipeline=[], img_dir=str(images), **options)
        except AssertionError as error:
            reason = one_line(error) or 'a folder or its required split is missing'
            raise DataError(f'{self.dataset} cannot be read: {reason}') from error
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, OSError) as error:
            found = re.search(r"multiple values for (?:keyword )?argument '(\w+)'", str(error))
            if found:
                raise DataError(
                    f'{self.dataset} sets {found[1]} itself; remove it, or use a FolderSource for these files'
                ) from error
            raise DataError(f'{self.dataset} cannot be read: {one_line(error)}') from error


def dataset_classes(name: str) -> tuple[list[str], list[list[int]]]:
    """Return the class names and colours of a dataset of mmseg.

    Raises:
        UsageError: if mmseg has no such dataset.
    """
    cls = _dataset_class(name)
    return list(cls.CLASSES), [list(colour) for colour in cls.PALETTE]


def with_class_names(settings: Settings) -> Settings:
    """Replace `data.classes: ADE20KDataset`, a dataset of mmseg, by its class names and colours.

    Raises:
        UsageError: if mmseg has no such dataset.
    """
    data = settings.values.get('data')
    name = data.get('classes') if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(name, str):
        return settings
    classes, palette = dataset_classes(name)
    return settings.merged_with(Settings({'data': {'classes': classes, 'palette': data.get('palette') or palette}}))


def is_dataset(name: str) -> bool:
    """Return whether mmseg has a dataset of this name, with classes."""
    return name in _known()


def _known() -> dict[str, Any]:
    from mmseg.datasets import DATASETS  # late: the import takes seconds

    return {name: cls for name, cls in DATASETS.module_dict.items() if getattr(cls, 'CLASSES', None)}


def _dataset_class(name: str) -> Any:
    known = _known()
    if name not in known:
        raise UsageError(f"mmseg has no dataset '{name}'{nearest(name, known)}")
    return known[name]


@contextmanager
def _silence() -> Iterator[None]:
    """Keep mmseg from logging the number of images."""
    previous = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(previous)
