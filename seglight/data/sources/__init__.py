"""Sources of samples: folders, files of labelling tools, mmseg's datasets, or custom classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from seglight.config.classes import construct, find_class, name_and_arguments
from seglight.data.sources.archives import ArchiveSource
from seglight.data.sources.base import Annotation, Context, Sample, Source, bad_name
from seglight.data.sources.coco.source import CocoSource
from seglight.data.sources.columns import Part, Samples
from seglight.data.sources.folder_rows import MaskFile
from seglight.data.sources.folders import FolderSource
from seglight.data.sources.images import ImageSource
from seglight.data.sources.labelme.source import LabelMeSource
from seglight.data.sources.yolo.source import YoloSource
from seglight.errors import ConfigError, DataError
from seglight.names import name_fault
from seglight.similar import nearest

__all__ = [
    'Annotation',
    'ArchiveSource',
    'CocoSource',
    'Context',
    'FolderSource',
    'ImageSource',
    'LabelMeSource',
    'MaskFile',
    'Sample',
    'Samples',
    'Source',
    'Use',
    'YoloSource',
    'build_sources',
    'find_samples',
]

SOURCES = {
    cls.__name__: cls for cls in (FolderSource, CocoSource, LabelMeSource, YoloSource, ArchiveSource, ImageSource)
}

#: The order of an epoch is drawn at once, which limits its length.
MAX_REPEATS = 1000

#: A split in a config: the name of a folder, the dict of a source, or a list of either.
Spec = str | dict[str, Any] | list[str | dict[str, Any]]


@dataclass(frozen=True)
class Use:
    """How a source is used.

    Attributes:
        key: config key of the source, such as `data.train.0`.
        repeat: how often its samples are used per epoch, on average.
        only_train: whether `data.split` must keep its samples in train.
        named: whether the config gives only the name of a folder.
    """

    key: str
    repeat: float = 1.0
    only_train: bool = False
    named: bool = False


def build_sources(spec: Spec, key: str, img_dir: str, ann_dir: str | None) -> list[tuple[Source, Use]]:
    """Build the sources of a split, each with its use.

    Args:
        spec: the name of a folder below `img_dir` and `ann_dir`; or a dict like
            `{type: CocoSource, ann_file: a.json, repeat: 2, only_train: true}`, where the type may be a dataset class
            of mmseg; or a list of either.
        key: the config key, for errors.
        img_dir: folder of the images for a spec that is a name.
        ann_dir: folder of the masks for a spec that is a name, None for no masks.

    Raises:
        ConfigError: for an unknown type or argument, or a wrong value.
    """
    if isinstance(spec, list):
        if not spec:
            raise ConfigError(key, 'is an empty list; add a source')
        return [
            built
            for index, each in enumerate(spec)
            for built in build_sources(each, f'{key}.{index}', img_dir, ann_dir)
        ]
    if isinstance(spec, str):
        masks = None if ann_dir is None else f'{ann_dir}/{spec}'
        return [(FolderSource(f'{img_dir}/{spec}', masks), Use(key, named=True))]
    name, arguments = name_and_arguments(spec, key, 'a source')
    repeat = arguments.pop('repeat', 1)
    if isinstance(repeat, bool) or not isinstance(repeat, (int, float)) or not 0 < repeat <= MAX_REPEATS:
        message = f'must be above 0 and at most {MAX_REPEATS}, got {repeat!r}'
        raise ConfigError(f'{key}.repeat', message)
    only_train = arguments.pop('only_train', False)
    if not isinstance(only_train, bool) or (only_train and not key.startswith('data.train')):
        reason = (
            'is for sources of data.train only' if only_train is True else f'must be true or false, got {only_train!r}'
        )
        raise ConfigError(f'{key}.only_train', reason)
    return [(_build(name, arguments, key), Use(key, float(repeat), only_train))]


def _build(name: str, arguments: dict[str, Any], key: str) -> Source:
    """Build one source."""
    cls = find_class(name, SOURCES, key)
    if cls is None:
        from seglight.data.sources.mmseg_datasets import MmsegSource, is_dataset  # late: importing mmseg takes seconds

        if not is_dataset(name):
            known = f'{", ".join(SOURCES)}, or a dataset of mmseg'
            message = f"unknown source '{name}' ({known}){nearest(name, SOURCES)}"
            raise ConfigError(key, message)
        cls, arguments = MmsegSource, {'dataset': name, **arguments}
    if not issubclass(cls, Source):  # checked before building: the config may come from a checkpoint
        raise ConfigError(key, f'{name} is not a source of data')
    source: Source = construct(cls, arguments, name, key)
    return source


def find_samples(
    sources: Sequence[tuple[Source, Use]], context: Context, masks: bool, faults: list[str] | None = None
) -> Samples:
    """Return the samples of all sources, one source after the other.

    Args:
        sources: the result of `build_sources`.
        context: the classes, colours and root of the data.
        masks: whether each sample must have a mask; otherwise masks are dropped.
        faults: receives the messages about unusable sources, whose samples are then missing.

    Raises:
        DataError: if a source is unusable or has no masks, unless `faults` is given; or if two images to predict have
            the same name.
    """
    found = []
    for source, use in sources:
        try:
            parts = _samples_of(source, context, masks).parts
        except DataError as error:
            if faults is None:
                raise
            faults.append(str(error))
        else:
            found += [Part(part.rows, use.repeat, use.only_train, use.key, masks) for part in parts]
    samples = Samples(found)
    if not masks:
        _check_names(samples)
    return samples


def _check_names(samples: Samples) -> None:
    """Check that the names of images to predict differ.

    Raises:
        DataError: names two images.
    """
    names = samples.texts('names')
    if len(set(names)) == len(names):
        return
    repeated = Counter(names).most_common(1)[0][0]
    first, second = [samples[index].image for index, name in enumerate(names) if name == repeated][:2]
    raise DataError(f'data.test has {first} and {second}, whose predictions would overwrite each other; rename one')


def _samples_of(source: Source, context: Context, masks: bool) -> Samples:
    """Return the samples of one source.

    Raises:
        DataError: if it is unusable, has no masks, or has images to predict with the same name.
    """
    found = source.samples(context)
    samples = found if isinstance(found, Samples) else Samples.of([_with_name_fault(sample) for sample in found])
    if masks and not all(part.rows.labelled for part in samples.parts):
        unlabelled = next(each for each in samples if each.mask is None and each.fault is None)
        raise DataError(f'{unlabelled.image} has no mask; give its source an ann_dir')
    fault = None if masks else next((fault for part in samples.parts for fault in part.rows.faults()), None)
    if fault:
        raise DataError(fault)
    return samples


def _with_name_fault(sample: Sample) -> Sample:
    """Return the sample, with a fault if its name must not become part of a path."""
    fault = None if sample.fault else name_fault(sample.name)
    return replace(sample, fault=bad_name(sample.image, fault)) if fault else sample
