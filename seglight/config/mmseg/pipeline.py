"""Translate image and mask settings of a stored mmseg config to `data`, and list those without an equivalent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seglight.config.settings import dicts

#: The transform that resizes like mmseg.
RESIZE = 'seglight.data.augmentations.KeepRatioResize'

#: Data sets of mmseg that ignore label 0 regardless of their pipelines.
REDUCED = ('ADE20KDataset', 'ISPRSDataset', 'LoveDADataset', 'PascalContextDataset59', 'PotsdamDataset')

#: Steps of a test pipeline that do not change pixels, or that seglight performs, too.
_KNOWN_STEPS = frozenset(
    {
        *('LoadImageFromFile', 'MultiScaleFlipAug', 'Resize', 'RandomFlip', 'Normalize'),
        *('ImageToTensor', 'DefaultFormatBundle', 'Collect'),
    }
)
_RESIZE_KEYS = frozenset({'type', 'keep_ratio', 'img_scale'})


def data_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for resizing images in tests, and for ignored labels."""
    settings: dict[str, Any] = {'val_transforms': _test_transforms(config)}
    if _reduces_zero_label(config):
        settings['reduce_zero_label'] = True
    ignored = _ignore_index(config)
    if ignored is not None:
        settings['ignore_index'] = ignored
    return settings


def not_taken_over(config: Mapping[str, Any]) -> list[str]:
    """Return the test settings of a stored config that are not supported, so that metrics may differ from mmseg's."""
    found = unsupported_steps(config)
    if augmented_test(config) is not None:
        found.append('test-time augmentation in its test pipeline (unless trainer.callbacks has TestTimeAugmentation)')
    for name, part in _data_sets(config):
        if part.get('classes') is not None and part.get('type') != 'CustomDataset':  # which has none of its own
            found.append(
                f'the subset of classes in its {part.get("type")} (set data.val to {{type: {part.get("type")}, '
                'img_dir: ..., ann_dir: ...}, which finds labels by class names)'
            )
            break
        if part.get('gt_seg_map_loader_cfg'):
            found.append(f'gt_seg_map_loader_cfg of data.{name}')
            break
    return list(dict.fromkeys(found))


def unsupported_steps(config: Mapping[str, Any]) -> list[str]:
    """Return the steps of the test pipeline, and their arguments, that are not supported."""
    found = []
    for _, part in dicts(_test_pipeline(config)):
        name = part.get('type')
        if name is not None and name not in _KNOWN_STEPS:
            found.append(f'{name} in its test pipeline')
        elif name == 'Resize' and (more := sorted(part.keys() - _RESIZE_KEYS)):
            found.append(f'{", ".join(more)} of Resize in its test pipeline')
        elif name == 'LoadImageFromFile' and part.get('color_type', 'color') != 'color':
            found.append(f'color_type {part["color_type"]} of its images')
    return found


def augmented_test(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the `MultiScaleFlipAug` of the test pipeline if it has several views, else None."""
    augmented = _augmentation(config)
    return augmented if augmented.get('flip') or view_sizes(augmented)[1] != [1.0] else None


def flip_directions(augmented: Mapping[str, Any]) -> list[str]:
    """Return the directions in which a `MultiScaleFlipAug` mirrors images if its `flip` is true."""
    direction = augmented.get('flip_direction', 'horizontal')
    return list(direction) if isinstance(direction, list) else [direction]


def view_sizes(augmented: Mapping[str, Any]) -> tuple[list[int] | None, list[float]]:
    """Return the size that a `MultiScaleFlipAug` resizes images to, None for their own, and the scales of its views.

    A single ratio is part of the size, as mmseg computes it.
    """
    size, ratios = augmented.get('img_scale'), augmented.get('img_ratios')
    if isinstance(size, list) and isinstance(size[0], list):  # mmseg then ignores the ratios
        return size[0], [max(each) / max(size[0]) for each in size]
    scales = [float(ratio) for ratio in (ratios if isinstance(ratios, list) else [ratios or 1.0])]
    if size is not None and len(scales) == 1:
        return [int(side * scales[0]) for side in size], [1.0]
    return size, scales


def _augmentation(config: Mapping[str, Any]) -> dict[str, Any]:
    steps = dicts(_test_pipeline(config))
    return next((part for _, part in steps if part.get('type') == 'MultiScaleFlipAug'), {})


def loader_reduces(pipeline: Any) -> bool | None:
    """Return whether the `LoadAnnotations` of a pipeline ignores label 0 and decreases the others; None without one.

    Each reads the mask again, so that the last one counts.
    """
    loaders = [step for _, step in dicts(pipeline) if step.get('type') == 'LoadAnnotations']
    return bool(loaders[-1].get('reduce_zero_label')) if loaders else None


def _reduces_zero_label(config: Mapping[str, Any]) -> bool:
    """Return whether masks were read with label 0 ignored and the others decreased by one."""
    parts = [part for _, part in dicts((config.get('data') or {}).get('train'))]
    pipelines = [part['pipeline'] for part in parts if part.get('pipeline')] or [config.get('train_pipeline')]
    read = [found for each in pipelines if (found := loader_reduces(each)) is not None]
    if read:
        return any(read)
    return any(part.get('reduce_zero_label', part.get('type') in REDUCED) for _, part in _data_sets(config))


def _ignore_index(config: Mapping[str, Any]) -> int | None:
    """Return the ignored label, None if the config does not set it."""
    heads = [(config.get('model') or {}).get(name) for name in ('decode_head', 'auxiliary_head')]
    for _, part in [*_data_sets(config), *dicts(heads)]:
        value = part.get('ignore_index')
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255:
            return value
    return None


def _data_sets(config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dicts of data sets, each with the name of its split."""
    data = config.get('data') or {}
    for name in ('val', 'test', 'train'):
        for _, part in dicts(data.get(name)):
            if str(part.get('type')).endswith('Dataset') or 'img_dir' in part:
                yield name, part


def _test_pipeline(config: Mapping[str, Any]) -> Any:
    test = (config.get('data') or {}).get('test') or {}
    test = test[0] if isinstance(test, list) and test else test
    return (test.get('pipeline') if isinstance(test, dict) else None) or config.get('test_pipeline') or []


def _test_transforms(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the transforms that resize an image like the test pipeline of an mmseg config."""
    augmented = _augmentation(config)
    size, _ = view_sizes(augmented)
    if size is None:
        return []
    resize = next((each for _, each in dicts(augmented) if each.get('type') == 'Resize'), {})
    return [{'class_path': RESIZE, 'init_args': {'img_scale': size, 'keep_ratio': resize.get('keep_ratio', True)}}]
