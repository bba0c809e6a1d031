"""Building albumentations pipelines from a config, and applying them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import albumentations as A
import cv2
import numpy as np

from seglight.array_types import UInt8Array
from seglight.config.classes import construct, find_class, name_and_arguments
from seglight.data import augmentations
from seglight.data.arguments import check_bounds, is_whole
from seglight.data.padding import adds_pixels, may_pad, padding_label
from seglight.data.transform_hints import hint_for
from seglight.errors import ConfigError, DataError, one_line
from seglight.similar import nearest

#: Transforms by name; names of albumentations override those of `seglight.data.augmentations`.
NAMES = {**{name: getattr(augmentations, name) for name in augmentations.__all__}, **vars(A)}

#: Transforms that keep the whole image in place, so that predictions can be mapped back to it.
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

#: Interpolations of OpenCV that create no new labels.
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
            or `{class_path: albumentations.HorizontalFlip, init_args: {p: 0.5}}`. Compositions such as `OneOf`
            have a list of such dicts as `transforms`.
        key: config key of the list, for errors.
        ignore_index: label of ignored pixels.
        classes: names of the classes. If given, padding gets `padding_label` (see `seglight.data.padding`) in masks;
            otherwise `ignore_index`.
        evaluation: whether masks are not transformed, so that images must stay in place.

    Raises:
        ConfigError: for an unknown transform or argument, a wrong value, or an unsuitable transform.
    """
    return A.Compose(_build_all(transforms, key, _Settings(ignore_index, classes, evaluation)))


def apply(pipeline: A.Compose, targets: dict[str, UInt8Array], stream: Sequence[int], name: str) -> dict[str, Any]:
    """Apply a pipeline with random numbers that depend on `stream` alone.

    Args:
        pipeline: the result of `build_pipeline`.
        targets: `image` and possibly `mask`.
        stream: key of the random stream.
        name: of the image, for errors.

    Returns:
        The transformed targets: image uint8 `[H, W, 3]`, mask uint8 `[H, W]`.

    Raises:
        DataError: if a transform fails, or returns other shapes or dtypes.
    """
    seed_pipeline(pipeline, stream)
    try:
        transformed: dict[str, Any] = pipeline(**targets)
    except Exception as error:  # of any type, since users may add transforms
        raise DataError(f'The transforms of the config fail on the image {name}: {one_line(error)}') from error
    for target, dimensions in (('image', 3), ('mask', 2)):
        value = transformed.get(target)
        if target in targets and not _is_array(value, dimensions, np.shape(transformed['image'])[:2]):
            returned = f'{getattr(value, "dtype", type(value).__name__)} {list(getattr(value, "shape", ()))}'
            raise DataError(
                f'The transforms of the config return the {target} {name} as {returned}; they must return uint8 '
                '[H, W, 3] and a mask uint8 [H, W] of the same size, since the model normalises on the device with '
                'model.mean and model.std: remove the transform that changes this'
            )
    return transformed


def seed_pipeline(pipeline: A.Compose, stream: Sequence[int]) -> None:
    """Make the random numbers of a pipeline depend on the key of a stream alone."""
    # `Compose.set_random_seed` would seed all transforms alike, so that they draw the same numbers; without a seed,
    # forked workers would share one state.
    entropy = np.random.SeedSequence(tuple(stream))
    pipeline.set_random_state(np.random.default_rng(entropy), random.Random(int(entropy.generate_state(1)[0])))


def _is_array(value: Any, dimensions: int, size: tuple[int, int]) -> bool:
    """Return whether a transformed target is a uint8 array of this size, `[H, W]` or `[H, W, 3]`."""
    is_uint8 = isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == dimensions
    return is_uint8 and value.shape[:2] == size and value.shape[2:] in ((), (3,))


def transform_for_evaluation(
    pipeline: A.Compose, image: UInt8Array, padding: int, stream: Sequence[int], name: str
) -> tuple[UInt8Array, tuple[int, int]]:
    """Transform an image without its mask, and find its size without padding.

    Args:
        pipeline: the result of `build_pipeline` with `evaluation=True`.
        image: uint8 `[H, W, 3]`.
        padding: the label of padding, see `padding_label`.
        stream: key of the random stream.
        name: of the image, for errors.

    Returns:
        The transformed image, and its height and width without padding.

    Raises:
        DataError: if a transform fails, or pads at the left or top.
    """
    if not may_pad(pipeline):
        result = apply(pipeline, {'image': image}, stream, name)['image']
        return result, (result.shape[0], result.shape[1])
    blank = np.zeros(image.shape[:2], dtype=np.uint8)
    transformed = apply(pipeline, {'image': image, 'mask': blank}, stream, name)
    inside = transformed['mask'] != padding
    rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
    if not inside[:rows, :columns].all():
        raise DataError('data.val_transforms may pad at the right and bottom only; use PadTo')
    return transformed['image'], (rows, columns)


@dataclass(frozen=True)
class _Settings:
    """Settings for all transforms of a pipeline, see `build_pipeline`."""

    ignore_index: int
    classes: Sequence[str] | None
    evaluation: bool

    @property
    def padding(self) -> int:
        """The label of padding."""
        return self.ignore_index if self.classes is None else padding_label(len(self.classes), self.ignore_index)

    def complete(self, cls: type, arguments: dict[str, Any]) -> None:
        """Add the arguments that depend on the data: ignored label, class names, label of padding.

        Raises:
            ValueError: if a transform would fill masks with an invalid label.
        """
        valid = inspect.signature(cls).parameters
        known = {'ignore_index': self.ignore_index, 'class_names': self.classes or (), 'padding_label': self.padding}
        for name, value in known.items():
            if name in valid:
                arguments.setdefault(name, value)
        for name in ('fill_mask', 'mask_drop_value'):
            if arguments.get(name) is not None:
                self._check_fill(name, arguments[name])
        fill = arguments.get('fill_mask')
        # In evaluation, the mask only marks padding, so any other fill is replaced.
        if adds_pixels(cls) and (self.evaluation or fill is None or fill == self.ignore_index):
            arguments['fill_mask'] = self.padding

    def _check_fill(self, name: str, fill: Any) -> None:
        last = 255 if self.classes is None else len(self.classes) - 1
        if fill != self.ignore_index and not (is_whole(fill) and 0 <= fill <= last):
            raise ValueError(f'{name} must be a label from 0 to {last} or {self.ignore_index}, got {fill!r}')


def _build_all(specs: Any, key: str, settings: _Settings) -> list[Any]:
    if not isinstance(specs, (list, tuple)):
        raise ConfigError(key, f'must be a list of transforms, got {specs!r}')
    return [_build(spec, f'{key}.{index}', settings) for index, spec in enumerate(specs)]


def _build(spec: Any, key: str, settings: _Settings) -> Any:
    """Build a transform, or a composition of transforms."""
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
    """Return the class for a name or path, checked before building: the config may come from a checkpoint."""
    cls = find_class(name, NAMES, key)
    if cls is None:
        known = [each for each, value in NAMES.items() if inspect.isclass(value)]
        message = f"albumentations has no transform '{name}'{nearest(name, known)}"
        raise ConfigError(key, message)
    if not issubclass(cls, (A.BasicTransform, A.BaseCompose)):
        raise ConfigError(key, f'{name} is not an albumentations transform')
    return cls


def _check_interpolation(transform: Any, name: str, key: str) -> None:
    """Reject a transform that interpolates labels, by an argument or by default."""
    for argument, allowed, cure in (
        ('mask_interpolation', NEAREST, '0 (nearest neighbour); remove it'),
        ('area_for_downscale', ('image',), 'image'),
    ):
        value = getattr(transform, argument, None)
        if value is not None and value not in allowed:
            text = f'{name} has {argument} {value}, which creates labels of other classes; it must be {cure}'
            raise ConfigError(f'{key}.{argument}', text)


def _check_in_place(transform: A.BasicTransform, name: str, key: str) -> None:
    """Reject a transform for evaluation that crops, rotates or covers the image, or hides its border."""
    if not isinstance(transform, IN_PLACE):
        reason, cure = 'does not keep the whole image in place', 'remove it'
    elif getattr(transform, 'border_mode', cv2.BORDER_CONSTANT) != cv2.BORDER_CONSTANT:
        reason, cure = 'pads with pixels of the image, which would be predicted too', 'remove border_mode'
    else:
        return
    allowed = 'masks are not transformed, so images may only be resized, padded and changed in colour'
    raise ConfigError(key, f'{name} {reason}; {allowed}: {cure}')
