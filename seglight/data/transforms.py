"""albumentations pipelines from a config's list of dicts."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import albumentations as A
import cv2
import numpy as np

from seglight.array_types import UInt8Array
from seglight.config.classes import construct, find_class, name_and_arguments
from seglight.config.settings import nearest
from seglight.data import augmentations
from seglight.data.arguments import check_bounds, is_whole
from seglight.data.label_check import transforms_of
from seglight.data.transform_hints import hint_for
from seglight.errors import ConfigError, DataError, one_line

#: What a transform is called by: albumentations' own names first, then those of `seglight.data.augmentations`.
NAMES = {**{name: getattr(augmentations, name) for name in augmentations.__all__}, **vars(A)}


#: What leaves the whole image in view and in place, as predictions need it that are laid over the image again.
IN_PLACE = (
    A.ImageOnlyTransform,
    A.NoOp,
    A.Resize,
    A.RandomScale,
    A.LongestMaxSize,
    A.SmallestMaxSize,
    A.Pad,  # and PadIfNeeded
    augmentations.KeepRatioResize,
    augmentations.PadTo,
)


#: Interpolations of OpenCV that make up no labels.
NEAREST = (cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT)


def build_pipeline(
    transforms: Sequence[dict[str, Any]],
    key: str,
    ignore_index: int = 255,
    classes: Sequence[str] | None = None,
    evaluation: bool = False,
) -> A.Compose:
    """Build an albumentations pipeline.

    Args:
        transforms: one dict for each transform: mmseg's short form `{type: HorizontalFlip, p: 0.5}`,
            or `{class_path: albumentations.HorizontalFlip, init_args: {p: 0.5}}`. `OneOf`, `SomeOf`,
            `Sequential` and their kin take a list of such dicts as `transforms`.
        key: the config's key of the list, named in errors.
        ignore_index: label of pixels that do not count.
        classes: names of the classes; where they are given, masks are filled with `padding_label` wherever a
            transform makes new pixels that do not count; otherwise with `ignore_index`.
        evaluation: whether masks stay as they are in their files, so that images must stay in place.

    Raises:
        ConfigError: for an unknown transform or argument, with the nearest valid one, a wrong value, or a transform
            that does not fit in here.
    """
    return A.Compose(_build_all(transforms, key, _Settings(ignore_index, classes, evaluation)))


def padding_label(num_classes: int, ignore_index: int) -> int:
    """Return a label that no mask has, by which pixels that transforms made are told from pixels that are ignored.

    Where every other label is taken it is `ignore_index` itself.
    """
    return next((label for label in range(255, -1, -1) if label >= num_classes and label != ignore_index), ignore_index)


def pads(pipeline: A.BaseCompose) -> bool:
    """Tell whether a pipeline may make new pixels."""
    return any(_makes_pixels(type(transform)) for transform in transforms_of(pipeline))  # type: ignore[arg-type]


def pads_in_vain(pipeline: A.BaseCompose) -> bool:
    """Tell whether a pipeline for evaluation ends with `PadTo`, whose padding is cut off again before inference."""
    *_, last = [None, *transforms_of(pipeline)]
    return isinstance(last, augmentations.PadTo)


def apply(pipeline: A.Compose, targets: dict[str, UInt8Array], stream: Sequence[int], name: str) -> dict[str, Any]:
    """Apply a pipeline with random numbers that are a function of `stream` alone.

    Args:
        pipeline: what `build_pipeline` returns.
        targets: what it is applied to, by albumentations' names: `image`, `mask`.
        stream: numbers that name a stream of random numbers.
        name: what the image is called in errors.

    Returns:
        The targets, transformed: the image is uint8 `[H, W, 3]`, the mask uint8 `[H, W]`.

    Raises:
        DataError: if a transform fails, or returns anything else.
    """
    # `Compose.set_random_seed` would give each transform a stream of its own from the same seed, so that
    # they all draw the same numbers; and without any, forked workers share one state.
    entropy = np.random.SeedSequence(tuple(stream))
    pipeline.set_random_state(np.random.default_rng(entropy), random.Random(int(entropy.generate_state(1)[0])))
    try:
        transformed: dict[str, Any] = pipeline(**targets)
    except Exception as error:  # whatever a transform, also one of the user's own, finds wrong
        raise DataError(f'The transforms of the config fail on the image {name}: {one_line(error)}') from error
    for target, dimensions in (('image', 3), ('mask', 2)):
        value = transformed.get(target)
        if target in targets and not _is_array(value, dimensions, np.shape(transformed['image'])[:2]):
            returned = f'{getattr(value, "dtype", type(value).__name__)} {list(getattr(value, "shape", ()))}'
            raise DataError(
                f'The transforms of the config return the {target} {name} as {returned}; they must return uint8 '
                '[H, W, 3] and a mask uint8 [H, W] of the same size, since the model normalises on the device with '
                'model.mean and model.std: remove the transform that does otherwise'
            )
    return transformed


def _is_array(value: Any, dimensions: int, size: tuple[int, int]) -> bool:
    """Tell whether a transformed target is a uint8 array with so many dimensions, 3 channels at most, and a size."""
    good = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == dimensions
    return good and value.shape[:2] == size and value.shape[2:] in ((), (3,))


def transform_for_evaluation(
    pipeline: A.Compose, image: UInt8Array, padding: int, stream: Sequence[int], name: str
) -> tuple[UInt8Array, tuple[int, int]]:
    """Transform an image whose mask stays as it is, and find out what of the result is padding.

    Args:
        pipeline: what `build_pipeline` returns for evaluation.
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


@dataclass(frozen=True)
class _Settings:
    """What all transforms of a pipeline are built with, see `build_pipeline`."""

    ignore_index: int
    classes: Sequence[str] | None
    evaluation: bool

    @property
    def padding(self) -> int:
        """The label of new pixels."""
        return self.ignore_index if self.classes is None else padding_label(len(self.classes), self.ignore_index)

    def complete(self, cls: type, arguments: dict[str, Any]) -> None:
        """Give a transform what it has an argument for, and tell new pixels from those that the mask ignores.

        Raises:
            ValueError: if a mask would get a label that is none.
        """
        valid = inspect.signature(cls).parameters
        for name, value in (('ignore_index', self.ignore_index), ('class_names', self.classes or ())):
            if name in valid:
                arguments.setdefault(name, value)
        for name in ('fill_mask', 'mask_drop_value'):
            if arguments.get(name) is not None:
                self._check_fill(name, arguments[name])
        fill = arguments.get('fill_mask')
        # A mask is none of evaluation's business: there it only tells what is padding.
        if _makes_pixels(cls) and (self.evaluation or fill is None or fill == self.ignore_index):
            arguments['fill_mask'] = self.padding

    def _check_fill(self, name: str, fill: Any) -> None:
        last = 255 if self.classes is None else len(self.classes) - 1
        if fill != self.ignore_index and not (is_whole(fill) and 0 <= fill <= last):
            raise ValueError(f'{name} must be a label from 0 to {last} or {self.ignore_index}, got {fill!r}')


@cache  # evaluation asks it for every image
def _makes_pixels(cls: type) -> bool:
    """Tell whether a transform makes new pixels; dropouts, which leave the mask alone unless told, do not."""
    fill = inspect.signature(cls).parameters.get('fill_mask')
    return fill is not None and fill.default is not None


def _build_all(specs: Any, key: str, settings: _Settings) -> list[Any]:
    if not isinstance(specs, (list, tuple)):
        raise ConfigError(key, f'must be a list of transforms, got {specs!r}')
    return [_build(spec, f'{key}.{index}', settings) for index, spec in enumerate(specs)]


def _build(spec: Any, key: str, settings: _Settings) -> Any:
    """Build one transform, or one that holds others."""
    name, arguments = name_and_arguments(spec, key, 'a transform')
    if hint := hint_for(name, arguments):
        raise ConfigError(key, hint)
    cls = _transform_class(name, key)
    if issubclass(cls, A.BaseCompose) and 'transforms' in arguments:
        inner = f'{key}.init_args.transforms' if 'class_path' in spec else f'{key}.transforms'
        arguments['transforms'] = _build_all(arguments['transforms'], inner, settings)
    try:
        settings.complete(cls, arguments)
        if 'p' in arguments:
            check_bounds(0, 1, p=arguments['p'])
    except ValueError as error:
        raise ConfigError(key, f'{name} cannot be built: {error}') from error
    transform = construct(cls, arguments, name, key)
    _check_interpolation(transform, name, key)
    if settings.evaluation and isinstance(transform, A.BasicTransform):
        _check_in_place(transform, name, key)
    return transform


def _transform_class(name: str, key: str) -> type[Any]:
    """Return the class that a name or a path means; asked before it is built: a config may come from a checkpoint."""
    cls = find_class(name, NAMES, key)
    if cls is None:
        known = [each for each, value in NAMES.items() if inspect.isclass(value)]
        message = f"albumentations has no transform '{name}'{nearest(name, known)}"
        raise ConfigError(key, message)
    if not issubclass(cls, (A.BasicTransform, A.BaseCompose)):
        raise ConfigError(key, f'{name} is not an albumentations transform')
    return cls


def _check_interpolation(transform: Any, name: str, key: str) -> None:
    """Refuse a transform that blends labels, by an argument or by its default."""
    found = getattr(transform, 'mask_interpolation', None)
    if found not in (None, *NEAREST):
        raise ConfigError(
            f'{key}.mask_interpolation',
            f'{name} has mask_interpolation {found}, which blends labels to others that mean another class; '
            'it must be 0 (nearest neighbour); remove it',
        )


def _check_in_place(transform: A.BasicTransform, name: str, key: str) -> None:
    """Refuse a transform of evaluation that crops, turns or covers the image, or hides where it ends."""
    if not isinstance(transform, IN_PLACE):
        reason, cure = 'does not leave the whole image in view and in place', 'remove it'
    elif getattr(transform, 'border_mode', cv2.BORDER_CONSTANT) != cv2.BORDER_CONSTANT:
        reason, cure = 'pads with pixels of the image, which would be predicted too', 'leave out border_mode'
    else:
        return
    allowed = 'masks are compared in their own place, so images may be resized, padded and changed in colour only'
    raise ConfigError(key, f'{name} {reason}; {allowed}: {cure}')
