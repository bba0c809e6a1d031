"""albumentations pipelines from a config's list of dicts."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Sequence
from typing import Any

import albumentations as A
import numpy as np

from seglight.config.classes import construct, find_class, name_and_arguments
from seglight.config.settings import nearest
from seglight.data import augmentations
from seglight.data.images import UInt8Array
from seglight.errors import ConfigError, DataError, one_line

#: What a transform is called by: albumentations' own names first, then those of `seglight.data.augmentations`.
NAMES = {**{name: getattr(augmentations, name) for name in augmentations.__all__}, **vars(A)}


def build_pipeline(
    transforms: Sequence[dict[str, Any]], key: str, ignore_index: int = 255, num_classes: int | None = None
) -> A.Compose:
    """Build an albumentations pipeline.

    Args:
        transforms: one dict for each transform: mmseg's short form `{type: HorizontalFlip, p: 0.5}`,
            or `{class_path: albumentations.HorizontalFlip, init_args: {p: 0.5}}`. `OneOf`, `SomeOf`,
            `Sequential` and their kin take a list of such dicts as `transforms`.
        key: the config's key of the list, named in errors.
        ignore_index: label of pixels that do not count.
        num_classes: where it is given, masks are filled with `padding_label` wherever a transform makes new
            pixels and no `fill_mask` is given; otherwise with `ignore_index`.

    Raises:
        ConfigError: for an unknown transform or argument, with the nearest valid one, or a wrong value.
    """
    fill = ignore_index if num_classes is None else padding_label(num_classes, ignore_index)
    defaults = {'fill_mask': fill, 'ignore_index': ignore_index}
    return A.Compose(_build_all(transforms, key, defaults))


def padding_label(num_classes: int, ignore_index: int) -> int:
    """Return a label that no mask has, by which pixels that transforms made are told from pixels that are ignored.

    Where every other label is taken it is `ignore_index` itself.
    """
    return next((label for label in range(255, -1, -1) if label >= num_classes and label != ignore_index), ignore_index)


def pads(pipeline: A.BaseCompose) -> bool:
    """Tell whether a pipeline may make new pixels."""
    return any(hasattr(transform, 'fill_mask') for transform in _transforms(pipeline))


def apply(pipeline: A.Compose, targets: dict[str, UInt8Array], stream: Sequence[int], name: str) -> dict[str, Any]:
    """Apply a pipeline with random numbers that are a function of `stream` alone.

    Args:
        pipeline: what `build_pipeline` returns.
        targets: what it is applied to, by albumentations' names: `image`, `mask`.
        stream: numbers that name a stream of random numbers.
        name: what the image is called in errors.

    Returns:
        The targets, transformed.

    Raises:
        DataError: if a transform fails.
    """
    # `Compose.set_random_seed` would give each transform a stream of its own from the same seed, so that
    # they all draw the same numbers; and without any, forked workers share one state.
    entropy = np.random.SeedSequence(tuple(stream))
    pipeline.set_random_state(np.random.default_rng(entropy), random.Random(int(entropy.generate_state(1)[0])))
    try:
        transformed: dict[str, Any] = pipeline(**targets)
    except Exception as error:  # whatever a transform, also one of the user's own, finds wrong
        raise DataError(f'The transforms of the config fail on the image {name}: {one_line(error)}') from error
    return transformed


def transform_for_evaluation(
    pipeline: A.Compose, image: UInt8Array, padding: int, stream: Sequence[int], name: str
) -> tuple[UInt8Array, tuple[int, int]]:
    """Transform an image whose mask stays as it is, and find out what of the result is padding.

    Args:
        pipeline: what `build_pipeline` returns.
        image: uint8 `[H, W, 3]`.
        padding: the label that the pipeline fills masks with, see `padding_label`.
        stream: numbers that name a stream of random numbers.
        name: what the image is called in errors.

    Returns:
        The transformed image, and its height and width without padding.

    Raises:
        DataError: if a transform fails, or pads at the left or at the top.
    """
    if not pads(pipeline):
        result = apply(pipeline, {'image': image}, stream, name)['image']
        return result, (result.shape[0], result.shape[1])
    blank = np.zeros(image.shape[:2], dtype=np.uint8)
    transformed = apply(pipeline, {'image': image, 'mask': blank}, stream, name)
    inside = transformed['mask'] != padding
    rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
    if not inside[:rows, :columns].all():
        raise DataError('data.val_transforms may pad at the right and at the bottom only; use PadTo')
    return transformed['image'], (rows, columns)


def _transforms(pipeline: A.BaseCompose) -> Iterator[A.BasicTransform]:
    """Yield the transforms of a pipeline and of those inside it."""
    for transform in pipeline:
        if isinstance(transform, A.BaseCompose):
            yield from _transforms(transform)
        else:
            yield transform


def _build_all(specs: Any, key: str, defaults: dict[str, Any]) -> list[Any]:
    if not isinstance(specs, (list, tuple)):
        raise ConfigError(f'{key} is a list of transforms, not {specs!r}', tuple(key.split('.')))
    return [_build(spec, f'{key}.{index}', defaults) for index, spec in enumerate(specs)]


def _build(spec: Any, key: str, defaults: dict[str, Any]) -> Any:
    """Build one transform, or one that holds others."""
    name, arguments = name_and_arguments(spec, key, 'a transform')
    cls = find_class(name, NAMES, key)
    if cls is None:
        known = [each for each, value in NAMES.items() if inspect.isclass(value)]
        message = f"{key}: albumentations has no transform '{name}'{nearest(name, known)}"
        raise ConfigError(message, tuple(key.split('.')))
    # Asked before it is built: a config may come from a checkpoint.
    if not issubclass(cls, (A.BasicTransform, A.BaseCompose)):
        raise ConfigError(f'{key}: {name} is no albumentations transform', tuple(key.split('.')))
    valid = inspect.signature(cls).parameters
    if issubclass(cls, A.BaseCompose) and 'transforms' in arguments:
        inner = f'{key}.init_args.transforms' if 'class_path' in spec else f'{key}.transforms'
        arguments['transforms'] = _build_all(arguments['transforms'], inner, defaults)
    for argument in defaults.keys() & valid.keys():
        arguments.setdefault(argument, defaults[argument])
    return construct(cls, arguments, name, key)
