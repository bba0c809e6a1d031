"""Transforms with planned sizes, which keep what a config has besides."""

from __future__ import annotations

from typing import Any

from seglight.array_types import Size

Transforms = list[dict[str, Any]]

#: Transforms that a planned size replaces; all others of an inherited list stay.
SIZING = (
    'RandomScale', 'Resize', 'KeepRatioResize', 'LongestMaxSize', 'SmallestMaxSize', 'RandomResizedCrop', 'Pad',
    'PadIfNeeded', 'PadTo', 'RandomCrop', 'CenterCrop', 'CatMaxRatioCrop', 'RareClassCrop',
)  # fmt: skip

#: Transforms of a config without any others.
COLOURS: Transforms = [
    {'type': 'HorizontalFlip', 'p': 0.5},
    {'type': 'RandomBrightnessContrast', 'p': 0.5},
]


def training_transforms(inherited: Transforms | None, crop: Size, scale: float, spread: float) -> Transforms:
    """Return training transforms with a crop, and those of the inherited list that do not change the size.

    Args:
        inherited: the config's.
        crop: height and width.
        scale: by which images are reduced before.
        spread: images are scaled by a random factor from `1 / spread` to `spread` on top.
    """
    height, width = crop
    return [
        scaling(scale / spread, scale * spread),
        {'type': 'PadIfNeeded', 'min_height': height, 'min_width': width},
        {'type': 'RandomCrop', 'height': height, 'width': width},
        *(_of_any_size(inherited) or COLOURS),
    ]


def validation_transforms(inherited: Transforms | None, scale: float) -> Transforms:
    """Return validation transforms that reduce images by a scale, and those of the inherited list that may stay."""
    return [*_of_any_size(inherited), scaling(scale, scale)]


def scaling(lowest: float, highest: float) -> dict[str, Any]:
    """Return the transform that scales by a random factor."""
    return {'type': 'RandomScale', 'scale_limit': [round(lowest - 1, 3), round(highest - 1, 3)], 'p': 1.0}


def _of_any_size(transforms: Transforms | None) -> Transforms:
    return [each for each in transforms or [] if not _changes_size(each)]


def _changes_size(transform: dict[str, Any]) -> bool:
    """Return whether a transform, or one of those that it is composed of, changes the size."""
    inner = transform.get('transforms') or (transform.get('init_args') or {}).get('transforms') or []
    return _type_of(transform) in SIZING or any(_changes_size(each) for each in inner)


def _type_of(transform: dict[str, Any]) -> str:
    return str(transform.get('type') or transform.get('class_path')).rpartition('.')[2]
