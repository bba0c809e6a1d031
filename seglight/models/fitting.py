"""Images of any size for any segmentor: unsuitable sizes are padded to one that works, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor
from torch.nn import functional as F

from seglight.array_types import Size
from seglight.batch import ImageMeta
from seglight.errors import ConfigError, UsageError
from seglight.machine_errors import cure_of_machine
from seglight.models.explain import reason
from seglight.models.shapes import NeedsValuesError, blank, on_shapes, without_values

#: Errors that a backbone may raise for an image size that it cannot take, among other causes.
MISFITS = (AssertionError, RuntimeError, ValueError, IndexError, ZeroDivisionError)

#: The sides from which the bisection for the minimum side of an image starts, and its precision.
START_SIDES, STEP = (128, 256, 512, 1024), 16

#: Sides are padded to a multiple of one of these, the smallest that works.
DIVISORS = (2, 4, 8, 14, 16, 32, 56, 64)

#: Sides that no power of two divides: a segmentor that takes this size takes any larger one.
ODD: Size = (103, 109)

#: For each segmentor, the size that images of a size are padded to.
_PADDED_SIZES: WeakKeyDictionary[BaseSegmentor, dict[Size, Size]] = WeakKeyDictionary()

#: Whether each segmentor takes images of the size `ODD`.
_TAKES_ODD: WeakKeyDictionary[BaseSegmentor, bool] = WeakKeyDictionary()

#: For each segmentor, a copy without values; None if only the segmentor itself can try a size.
_SHAPES: WeakKeyDictionary[BaseSegmentor, BaseSegmentor | None] = WeakKeyDictionary()

#: The minimum side of a square image that each segmentor takes.
_MIN_SIDES: WeakKeyDictionary[BaseSegmentor, int] = WeakKeyDictionary()


def mmseg_meta(image: Tensor) -> list[dict[str, Any]]:
    """Return the meta dicts that mmseg's heads may read, for images `[B, C, H, W]` without padding."""
    shape = (*image.shape[2:], 3)
    return [{'ori_shape': shape, 'img_shape': shape, 'pad_shape': shape, 'flip': False}] * len(image)


def training_meta(items: Iterable[ImageMeta]) -> list[dict[str, Any]]:
    """Return the meta dicts that mmseg's heads expect in training."""
    return [
        {
            'filename': item['path'],
            'ori_shape': (*item['original_size'], 3),
            'img_shape': (*item['size'], 3),
            'pad_shape': (*item['size'], 3),
            'scale_factor': 1.0,
            'flip': False,
        }
        for item in items
    ]


def padded(image: Tensor, size: Size, value: float = 0) -> Tensor:
    """Pad `[..., H, W]` on the right and at the bottom."""
    height, width = image.shape[-2:]
    return image if (height, width) == size else F.pad(image, (0, size[1] - width, 0, size[0] - height), value=value)


def scaled(size: Size, image: Tensor, mask: Tensor) -> Size:
    """Return the size to pad a mask to when its image is padded to `size`.

    In validation, a mask has the size of its file, and the image the size after the transforms.

    Args:
        size: height and width of the padded image.
        image: `[..., h, w]`, not padded yet.
        mask: `[..., H, W]`, not padded yet.
    """
    sides = zip(size, image.shape[-2:], mask.shape[-2:], strict=True)
    height, width = (max(own, round(padded_side * own / side)) for padded_side, side, own in sides)
    return height, width


def call_padded(segmentor: BaseSegmentor, image: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
    """Call a segmentor with images, padded with zeros if it cannot take their size.

    The padded size is found once for each image size. It depends only on the segmentor and the image size, not on
    earlier images.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: normalised, `[B, C, H, W]`.
        call: maps `image` or its padded form to logits.

    Returns:
        The result of `call`.

    Raises:
        ConfigError: if it takes images of this size neither as they are nor padded.
    """
    known = _PADDED_SIZES.setdefault(segmentor, {})
    size = _size(image)
    if known.get(size, size) == size:
        try:
            result = call(image)
        except MISFITS as error:
            if cure_of_machine(error):
                raise
            larger = None if size in known else _larger(segmentor, image)
            if larger is None:
                raise _refusal(size, error) from error
            known[size] = larger
        else:
            known[size] = size
            return result
    try:
        return call(padded(image, known[size]))
    except MISFITS as error:  # shapes alone did not show it
        if cure_of_machine(error):
            raise
        raise _refusal(size, error) from error


def training_size(segmentor: BaseSegmentor, image: Tensor) -> Size:
    """Return the size to pad training images to: their own, unless the segmentor cannot take it.

    Weights, BatchNorm statistics and the random state stay unchanged.

    Args:
        segmentor: an mmseg segmentor.
        image: normalised, `[B, C, H, W]`.

    Raises:
        ConfigError: if it takes only images of another size.
    """
    known = _PADDED_SIZES.setdefault(segmentor, {})
    size = _size(image)
    if size in known:
        return known[size]
    if size[0] >= ODD[0] and size[1] >= ODD[1] and _takes_odd(segmentor, image):
        known[size] = size
    else:
        larger = size if takes(segmentor, image, size) else _larger(segmentor, image)
        fixed = fixed_size(segmentor)
        if larger is None and fixed:
            raise ConfigError(
                'data.train_transforms',
                f'must give images of {_text(fixed)} pixels, the only size that {type(segmentor.backbone).__name__} '
                f'takes, got {_text(size)}; crop to height {fixed[0]}, width {fixed[1]}, or set '
                'model.segmentor.backbone.img_size',
            )
        known[size] = larger or size  # if none works, the training step itself raises the error
    return known[size]


def fixed_size(segmentor: BaseSegmentor) -> Size | None:
    """Return the fixed `img_size` of a segmentor or backbone with position embeddings, None for all others."""
    for owner in (segmentor, getattr(segmentor, 'backbone', None)):
        size = getattr(owner, 'img_size', None)
        if isinstance(size, (list, tuple)) and len(size) == 2 and all(isinstance(side, int) for side in size):
            return size[0], size[1]
    return None


def window_size(segmentor: BaseSegmentor, image: Tensor, prepare: Callable[[Tensor], Tensor]) -> Size | None:
    """Return the fixed size of a segmentor if these images are too large for it, else None.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: `[B, C, H, W]`, as `prepare` takes it.
        prepare: normalises the image.
    """
    fixed, size = fixed_size(segmentor), _size(image)
    if fixed is None or (size[0] <= fixed[0] and size[1] <= fixed[1]):
        return None
    return None if _takes_odd(segmentor, prepare(image[:1, :, :1, :1])) else fixed


def windows_of_size(size: Size) -> dict[str, Any]:
    """Return the settings of sliding windows of a size, with the overlap of mmseg's configs: a third."""
    return {'crop_size': list(size), 'stride': [max(1, side * 2 // 3) for side in size]}


def _size(image: Tensor) -> Size:
    return image.shape[2], image.shape[3]


def _text(size: Size) -> str:
    """Return a size as text, width before height."""
    return f'{size[1]}x{size[0]}'


def _refusal(size: Size, error: Exception) -> ConfigError:
    return UsageError(
        f'model.segmentor cannot take these images: {reason(error)[:200]}; neither {_text(size)} pixels nor a padded '
        'size works, so the channels or sizes of two parts differ (--debug shows where)'
    )


def takes(segmentor: BaseSegmentor, like: Tensor, size: Size) -> bool:
    """Return whether a segmentor takes images of a size: from the shapes alone, or else by trying a black image."""
    shapes = shapes_of(segmentor)
    if shapes is not None:
        try:
            return _succeeds(shapes.eval(), blank(1, like.shape[1], *size, dtype=like.dtype), on_shapes())
        except NeedsValuesError:
            _SHAPES[segmentor] = None
    weight = next(segmentor.parameters())
    image = torch.zeros(1, like.shape[1], *size, dtype=like.dtype, device=weight.device)
    devices = [weight.device] if weight.device.type == 'cuda' else []
    with in_eval_mode(segmentor):
        return _succeeds(segmentor, image, torch.random.fork_rng(devices))


@contextmanager
def in_eval_mode(segmentor: BaseSegmentor) -> Iterator[None]:
    """Put a segmentor into eval mode for a trial without gradients; each part gets its own mode back."""
    modes = [(part, part.training) for part in segmentor.modules()]
    segmentor.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
        torch.clear_autocast_cache()  # it now holds weights without gradients


def _succeeds(segmentor: BaseSegmentor, image: Tensor, context: AbstractContextManager[Any]) -> bool:
    """Return whether a segmentor takes an image without an error about its size."""
    try:
        with context, torch.no_grad():
            segmentor.encode_decode(image, mmseg_meta(image))
    except NeedsValuesError:
        raise
    except MISFITS as error:
        if cure_of_machine(error):
            raise
        return False
    except Exception:  # not about the size: an invalid test_cfg, which training does not need
        return True
    return True


def shapes_of(segmentor: BaseSegmentor) -> BaseSegmentor | None:
    """Return a copy of a segmentor without values, made once; None if it cannot run on shapes alone."""
    if segmentor not in _SHAPES:
        try:
            _SHAPES[segmentor] = without_values(segmentor)
        except NeedsValuesError:
            _SHAPES[segmentor] = None
    return _SHAPES[segmentor]


def _takes_odd(segmentor: BaseSegmentor, like: Tensor) -> bool:
    """Return whether a segmentor takes images of the size `ODD`; tried once."""
    if segmentor not in _TAKES_ODD:
        _TAKES_ODD[segmentor] = takes(segmentor, like, ODD)
    return _TAKES_ODD[segmentor]


def _larger(segmentor: BaseSegmentor, image: Tensor) -> Size | None:
    """Return a larger size that a segmentor takes, None if no candidate works."""
    height, width = _size(image)
    fixed = fixed_size(segmentor)
    # Tried first: if position embeddings fit only one size, trying others costs a lot of memory.
    if fixed and fixed[0] >= height and fixed[1] >= width and not _takes_odd(segmentor, image):
        return fixed if takes(segmentor, image, fixed) else None
    minimum = min_side(segmentor, image)
    sizes = _multiples(max(height, minimum), max(width, minimum))
    return next((size for size in sizes if size != (height, width) and takes(segmentor, image, size)), None)


def _multiples(height: int, width: int) -> Iterator[Size]:
    """Yield a size, then for each divisor the size with height, width and both rounded up; no size twice."""
    sizes = [(height, width)]
    for divisor in DIVISORS:
        rounded = (-(-height // divisor) * divisor, -(-width // divisor) * divisor)
        sizes += [(rounded[0], width), (height, rounded[1]), rounded]
    yield from dict.fromkeys(sizes)


def min_side(segmentor: BaseSegmentor, like: Tensor) -> int:
    """Return the minimum side of a square that a segmentor takes, a multiple of `STEP`; bisected once."""
    if segmentor not in _MIN_SIDES:
        low, high = 0, next((side for side in START_SIDES if takes(segmentor, like, (side, side))), 0)
        while high - low > STEP:
            middle = (low + high) // 2 // STEP * STEP
            low, high = (low, middle) if takes(segmentor, like, (middle, middle)) else (middle, high)
        _MIN_SIDES[segmentor] = high
    return _MIN_SIDES[segmentor]
