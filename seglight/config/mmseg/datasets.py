"""Translate the data sets in mmseg's configs to sources of `data`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from seglight.config.mmseg.pipeline import REDUCED, loader_reduces
from seglight.errors import ConfigError
from seglight.plain_text import read_text
from seglight.similar import nearest

#: The data sets of mmseg that have classes of their own.
DATASETS = (
    *('ADE20KDataset', 'COCOStuffDataset', 'ChaseDB1Dataset', 'CityscapesDataset', 'DRIVEDataset', 'HRFDataset'),
    *('DarkZurichDataset', 'FaceOccludedDataset', 'ISPRSDataset', 'LoveDADataset', 'NightDrivingDataset'),
    *('PascalContextDataset', 'PascalContextDataset59', 'PascalVOCDataset', 'PotsdamDataset', 'STAREDataset'),
    'iSAIDDataset',
)

#: The data set whose classes, suffixes and folders the config names.
CUSTOM = 'CustomDataset'

#: Maximum `repeat` of a source; an epoch is drawn at once.
MAX_REPEATS = 1000

_PATHS = ('img_dir', 'ann_dir', 'split')


class Part(NamedTuple):
    """One data set of a split: its key in the config, its arguments, and how often it occurs in an epoch."""

    key: str
    values: dict[str, Any]
    repeat: int = 1


def data_sources(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `root`, `classes`, `palette` and the sources of `train`, `val` and `test`.

    Raises:
        ConfigError: for a data set that seglight does not read; its key is that of mmseg's config.
    """
    found = {name: parts_of(config, name) for name in ('train', 'val', 'test')}
    roots = {part.values.get('data_root') for parts in found.values() for part in parts}
    root = next(iter(roots)) if len(roots) == 1 else None
    first = found['train'][0]
    data: dict[str, Any] = {'root': str(root or '.'), **_classes(first)}
    for part in (part for parts in found.values() for part in parts if part.values.get('classes') is not None):
        if first.values.get('classes') is not None and _classes(part)['classes'] != data['classes']:
            raise ConfigError(f'{part.key}.classes', f'must be those of {first.key}, in the same order, got others')
    for name, parts in found.items():
        sources = [_source(part, root, config if name == 'train' else None) for part in _with_few_repeats(parts)]
        if sources:
            data[name] = sources[0] if len(sources) == 1 else sources
    return data


def parts_of(config: Mapping[str, Any], name: str) -> list[Part]:
    """Return the data sets of a split, without `RepeatDataset` and lists; empty if the config has none.

    Raises:
        ConfigError: for an unknown data set.
    """
    spec = (config.get('data') or {}).get(name)
    return [] if spec is None else list(_flat(spec, f'data.{name}', 1))


def _flat(spec: Any, key: str, repeat: int) -> Iterator[Part]:
    """Yield the data sets in a dict or a list, as mmseg's `build_dataset` does."""
    if isinstance(spec, list):
        if not spec:
            raise ConfigError(key, 'must name a data set, got an empty list')
        for index, each in enumerate(spec):
            yield from _flat(each, f'{key}.{index}', repeat)
        return
    if not isinstance(spec, dict) or not isinstance(spec.get('type'), str):
        raise ConfigError(key, f'must be a dict with a type, got {spec!r:.60}')
    kind = spec['type'].removeprefix('mmseg.')
    if kind == 'RepeatDataset':
        times = spec.get('times', 1)
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            raise ConfigError(f'{key}.times', f'must be a number of at least 1, got {times!r}')
        yield from _flat(spec.get('dataset'), f'{key}.dataset', repeat * times)
        return
    _check_kind(kind, key)
    for values in _one_by_one({**spec, 'type': kind}, key):
        yield Part(key, values, repeat)


def _check_kind(kind: str, key: str) -> None:
    """Reject a data set that is code of the user's, or mixes images."""
    if kind == 'MultiImageMixDataset':
        raise ConfigError(
            f'{key}.type', 'must not be MultiImageMixDataset; put its dataset here and use Mosaic in data.mixes'
        )
    if kind not in (*DATASETS, CUSTOM):
        raise ConfigError(
            f'{key}.type',
            f"must be a data set of mmseg, got '{kind}', whose code is not run{nearest(kind, DATASETS)}; use "
            f'{CUSTOM} with classes, palette, img_suffix and seg_map_suffix',
        )


def _one_by_one(spec: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """Yield a dict for each item of its lists of folders or split files."""
    lists = {name: spec[name] for name in _PATHS if isinstance(spec.get(name), list)}
    if not lists:
        yield spec
        return
    lengths = {name: len(value) for name, value in lists.items() if len(value) != 1}
    if len(set(lengths.values())) > 1:
        shown = ', '.join(f'{length} of {name}' for name, length in lengths.items())
        raise ConfigError(key, f'must have equally long lists, got {shown}')
    for index in range(max(map(len, lists.values()))):
        yield spec | {name: value[min(index, len(value) - 1)] for name, value in lists.items()}


def _with_few_repeats(parts: list[Part]) -> list[Part]:
    """Return the data sets with at most `MAX_REPEATS` each, in the same ratio, but none below 1.

    mmseg's configs repeat small data sets 40000 times, since its loaders are slow to start; it affects no iteration.
    """
    highest = max((part.repeat for part in parts), default=1)
    if highest <= MAX_REPEATS:
        return parts
    return [part._replace(repeat=max(1, round(part.repeat * MAX_REPEATS / highest))) for part in parts]


def _source(part: Part, root: str | None, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the source for a data set.

    Args:
        part: the data set.
        root: the folder that all data sets share, `data.root`; None if each has its own.
        config: the whole config if the data set is for training, where its pipeline reads the masks.
    """
    values, kind = part.values, part.values['type']
    if not isinstance(values.get('img_dir'), str):
        raise ConfigError(f'{part.key}.img_dir', f'must be a folder, got {values.get("img_dir")!r}')
    own = values.get('data_root') if root is None else None
    paths = {name: str(PurePosixPath(own or '', str(values[name]))) for name in _PATHS if values.get(name) is not None}
    reduces = values.get('reduce_zero_label')
    loads = None if config is None else loader_reduces(values.get('pipeline') or config.get('train_pipeline'))
    if kind == CUSTOM:
        suffixes = {'img_suffix': values.get('img_suffix', '.jpg'), 'mask_suffix': values.get('seg_map_suffix', '.png')}
        reduced = bool(reduces) if loads is None else loads
        found = {'type': 'FolderSource', **paths, **suffixes, 'reduce_zero_label': reduced}
    else:
        options = ('img_suffix', 'seg_map_suffix', 'reduce_zero_label')
        given = {name: values[name] for name in options if values.get(name) is not None}
        if loads is not None and loads != bool(kind in REDUCED if reduces is None else reduces):
            given['reduce_zero_label'] = loads
        found = {'type': kind, **paths, **given}
    return found | ({'repeat': part.repeat} if part.repeat > 1 else {})


def _classes(part: Part) -> dict[str, Any]:
    """Return `classes` and `palette`: lists, or the name of the data set that has them.

    Raises:
        ConfigError: if the data set has no classes.
    """
    classes, palette = part.values.get('classes'), part.values.get('palette')
    if isinstance(classes, str):
        if Path(classes).exists() and not Path(classes).is_file():
            raise ConfigError(f'{part.key}.classes', f'must be a list or a regular file, got {classes}')
        try:
            classes = [line.strip() for line in read_text(Path(classes)).splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f'{part.key}.classes', f'names a file that cannot be read: {error}') from error
    if classes is None and part.values['type'] == CUSTOM:
        raise ConfigError(f'{part.key}.classes', f'must name the classes, since {CUSTOM} has none of its own')
    return {'classes': part.values['type'] if classes is None else list(classes), 'palette': palette or None}
