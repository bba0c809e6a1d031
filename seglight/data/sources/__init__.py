"""Where samples come from: folders, COCO files, mmseg's datasets, images alone, or a class of one's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seglight.config.classes import construct, find_class, name_and_arguments
from seglight.config.settings import nearest
from seglight.data.sources.base import Annotation, Context, Sample, Source
from seglight.data.sources.coco import CocoSource
from seglight.data.sources.folders import FolderSource, MaskFile
from seglight.data.sources.images import ImageSource
from seglight.errors import ConfigError, DataError
from seglight.names import name_fault

__all__ = [
    'Annotation',
    'CocoSource',
    'Context',
    'FolderSource',
    'ImageSource',
    'MaskFile',
    'Sample',
    'Source',
    'build_sources',
    'find_samples',
]

SOURCES = {cls.__name__: cls for cls in (FolderSource, CocoSource, ImageSource)}

#: An epoch, whose order is drawn as a whole, sees a sample no more often than this.
MOST_REPEATS = 1000

#: What a config gives for a split: the name of a folder, a source's dict, or a list of either.
Spec = str | dict[str, Any] | list[str | dict[str, Any]]


def build_sources(spec: Spec, key: str, img_dir: str, ann_dir: str | None) -> list[tuple[Source, float]]:
    """Build the sources of a split, each with how often its samples are seen in an epoch.

    Args:
        spec: the name of a folder below `img_dir` and `ann_dir`; or a dict such as
            `{type: CocoSource, ann_file: a.json, repeat: 2}`, where the type may be a dataset class of mmseg;
            or a list of either.
        key: the config's key, named in errors.
        img_dir: folder of the images for a spec that is a name.
        ann_dir: folder of the masks for a spec that is a name, None for no masks.

    Raises:
        ConfigError: for an unknown type or argument.
    """
    if isinstance(spec, list):
        if not spec:
            raise ConfigError(f'{key} is an empty list; name a source', tuple(key.split('.')))
        return [
            built
            for index, each in enumerate(spec)
            for built in build_sources(each, f'{key}.{index}', img_dir, ann_dir)
        ]
    if isinstance(spec, str):
        masks = None if ann_dir is None else f'{ann_dir}/{spec}'
        return [(FolderSource(f'{img_dir}/{spec}', masks), 1.0)]
    name, arguments = name_and_arguments(spec, key, 'a source')
    repeat = arguments.pop('repeat', 1)
    if isinstance(repeat, bool) or not isinstance(repeat, (int, float)) or not 0 < repeat <= MOST_REPEATS:
        message = f'{key}.repeat is a number above 0 and {MOST_REPEATS} at most, not {repeat!r}'
        raise ConfigError(message, (*key.split('.'), 'repeat'))
    return [(_build(name, arguments, key), float(repeat))]


def _build(name: str, arguments: dict[str, Any], key: str) -> Source:
    """Build one source."""
    cls = find_class(name, SOURCES, key)
    if cls is None:
        from seglight.data.sources.mmseg_datasets import MmsegSource, is_dataset  # late: mmseg takes seconds

        if not is_dataset(name):
            known = f'{", ".join(SOURCES)}, or a dataset of mmseg'
            message = f"{key}: '{name}' is no source ({known}){nearest(name, SOURCES)}"
            raise ConfigError(message, tuple(key.split('.')))
        cls, arguments = MmsegSource, {'dataset': name, **arguments}
    if not issubclass(cls, Source):  # asked before it is built: a config may come from a checkpoint
        raise ConfigError(f'{key}: {name} is no source of data', tuple(key.split('.')))
    source: Source = construct(cls, arguments, name, key)
    return source


def find_samples(
    sources: Sequence[tuple[Source, float]], context: Context, masks: bool, faults: list[str] | None = None
) -> list[Sample]:
    """Return the samples of all sources, one source after the other.

    Args:
        sources: what `build_sources` returned.
        context: the names, colours and root of the data.
        masks: whether each sample must have one; otherwise masks are left out.
        faults: gets what is wrong with a source that cannot be used, whose samples are then missing.

    Raises:
        DataError: if there are no `faults` to tell it: a source that cannot be used, or has no masks; and if two
            images to predict have the same name.
    """
    samples = []
    for source, repeat in sources:
        try:
            samples += [replace(sample, repeat=repeat) for sample in _samples_of(source, context, masks)]
        except DataError as error:
            if faults is None:
                raise
            faults.append(str(error))
    if masks:
        return samples
    twice = [name for name, count in Counter(sample.name for sample in samples).items() if count > 1]
    if twice:
        raise DataError(f'Two sources of data.test have an image {twice[0]}; their predictions could not be told apart')
    return [replace(sample, mask=None) for sample in samples]


def _samples_of(source: Source, context: Context, masks: bool) -> list[Sample]:
    """Return the samples of one source.

    Raises:
        DataError: if it cannot be used, has no masks, or has images to predict that cannot be told apart.
    """
    samples = [_with_name_fault(sample) for sample in source.samples(context)]
    without = next((sample for sample in samples if sample.mask is None), None) if masks else None
    if without:
        raise DataError(f'{without.image} has no mask; give its source an ann_dir')
    fault = None if masks else next((sample.fault for sample in samples if sample.fault), None)
    if fault:
        raise DataError(fault)
    return samples


def _with_name_fault(sample: Sample) -> Sample:
    """Return a sample that cannot be used if its name must not become part of a path."""
    fault = None if sample.fault else name_fault(sample.name)
    return replace(sample, fault=f'{str(sample.image)!r}: its name {fault}; rename it') if fault else sample
