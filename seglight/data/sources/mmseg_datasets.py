"""The dataset classes of mmsegmentation as sources."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)
from seglight.config.settings import Settings, nearest
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Context, Sample, Source
from seglight.data.sources.folders import MaskFile
from seglight.errors import ConfigError, DataError, one_line


class MmsegSource(Source):
    """A dataset of mmseg by its class: its suffixes, its `reduce_zero_label`, its labels by the classes' names.

    The classes of the run may be some of the dataset's, in any order; the pixels of the others are ignored.

    Args:
        dataset: name of the class, such as `CityscapesDataset`.
        img_dir: folder of the images, relative to `data_root`.
        ann_dir: folder of the masks, relative to `data_root`.
        split: text file with the names of the images, relative to `data_root`.
        data_root: relative to `data.root`.
        options: other arguments of the class, such as `img_suffix`.
    """

    def __init__(
        self,
        dataset: str,
        img_dir: str,
        ann_dir: str | None = None,
        split: str | None = None,
        data_root: str = '',
        **options: Any,
    ) -> None:
        self.dataset = dataset
        self.img_dir = img_dir
        self.ann_dir = ann_dir
        self.split = split
        self.data_root = data_root
        self.options = options

    def samples(self, context: Context) -> list[Sample]:
        """Return the images in mmseg's order."""
        root = context.path(self.data_root)
        images, masks = root / self.img_dir, root / self.ann_dir if self.ann_dir else None
        for folder in (images, masks):
            if folder and not folder.is_dir():
                raise DataError(f'{self.dataset}: the folder {folder} does not exist; set data.root to where yours is')
        split = root / self.split if self.split else None
        if split and not split.is_file():
            raise DataError(f'{self.dataset}: the split {split} does not exist')
        classes, known = list(context.classes), dataset_classes(self.dataset)[0]
        other = next((name for name in classes if name not in known), None)
        if other is not None:
            raise DataError(f"{self.dataset} has no class '{other}', which data.classes names{nearest(other, known)}")
        built = self._build(images, masks, split, None if known == classes else classes)
        if not built.img_infos:
            raise DataError(f'{self.dataset}: {images} holds no image that ends with {built.img_suffix}')
        moved = {old: new if new >= 0 else context.ignore_index for old, new in (built.label_map or {}).items()}
        labels = LabelMap(context.palette, context.ignore_index, built.reduce_zero_label, moved)
        samples = []
        for info in built.img_infos:
            image = images / info['filename']
            if not image.is_file():
                raise DataError(f'{self.dataset}: {split} names {image}, which does not exist')
            mask = MaskFile(masks / info['ann']['seg_map'], labels) if masks else None
            samples.append(Sample(image, info['filename'].removesuffix(built.img_suffix), mask))
        return samples

    def mask_folder(self, context: Context) -> Path | None:
        """Return the folder of the masks, None if there is none or a split file names the images."""
        return context.path(self.data_root) / self.ann_dir if self.ann_dir and not self.split else None

    def _build(self, images: Path, masks: Path | None, split: Path | None, classes: list[str] | None) -> Any:
        """Build mmseg's dataset, which finds the files."""
        options = {**self.options, 'classes': classes, 'split': str(split) if split else None}
        if split is None and self.dataset not in ('PascalVOCDataset', 'PascalContextDataset', 'PascalContextDataset59'):
            del options['split']  # which some classes do not have
        if masks:
            options['ann_dir'] = str(masks)
        try:
            with _silence():
                return _dataset_class(self.dataset)(pipeline=[], img_dir=str(images), **options)
        except AssertionError as error:
            reason = one_line(error) or 'a folder is missing, or the split, which it needs'
            raise DataError(f'{self.dataset} cannot be read: {reason}') from error
        except (TypeError, ValueError) as error:
            raise DataError(f'{self.dataset} cannot be read: {one_line(error)}') from error


def dataset_classes(name: str) -> tuple[list[str], list[list[int]]]:
    """Return the names and the colours of the classes of one of mmseg's datasets.

    Raises:
        ConfigError: if there is none of this name.
    """
    cls = _dataset_class(name)
    return list(cls.CLASSES), [list(colour) for colour in cls.PALETTE]


def with_class_names(settings: Settings) -> Settings:
    """Return settings in which `data.classes: ADE20KDataset` is the classes of that dataset of mmseg, with its colours.

    Raises:
        ConfigError: if mmseg has no such dataset.
    """
    data = settings.values.get('data')
    name = data.get('classes') if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(name, str):
        return settings
    classes, palette = dataset_classes(name)
    return settings.merged_with(Settings({'data': {'classes': classes, 'palette': data.get('palette') or palette}}))


def is_dataset(name: str) -> bool:
    """Tell whether mmseg has a dataset with classes of this name."""
    return name in _known()


def _known() -> dict[str, Any]:
    from mmseg.datasets import DATASETS  # late: it takes seconds, and most data need none of it

    return {name: cls for name, cls in DATASETS.module_dict.items() if getattr(cls, 'CLASSES', None)}


def _dataset_class(name: str) -> Any:
    known = _known()
    if name not in known:
        raise ConfigError(f"mmseg has no dataset '{name}'{nearest(name, known)}")
    return known[name]


@contextmanager
def _silence() -> Iterator[None]:
    """Keep mmseg from logging how many images it found."""
    previous = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(previous)
