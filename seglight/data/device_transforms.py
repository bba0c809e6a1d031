"""Transforms of training batches on the device, for loaders that cannot keep up.

Loader processes only draw the parameters, with albumentations itself and the same random streams as for all other
transforms; so results depend on seed, epoch and index alone. The device applies them: geometric ones equal
albumentations' pixel for pixel, colours to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import albumentations as A
import numpy as np
import torch
from torch import Tensor

from seglight.batch import Batch, Draw, Item, collate
from seglight.data.photometric import PhotoMetricDistortion
from seglight.data.transforms import seed_pipeline
from seglight.errors import ConfigError, DataError, one_line

#: Applies drawn parameters to `[..., H, W]`.
Apply = Callable[[Tensor, dict[str, Any]], Tensor]


def _crop(tensor: Tensor, drawn: dict[str, Any]) -> Tensor:
    left, top, right, bottom = drawn['crop_coords']
    return tensor[..., top:bottom, left:right]


#: Applied to the image, the mask and the padding alike.
GEOMETRIC: dict[type, Apply] = {
    A.HorizontalFlip: lambda tensor, _: tensor.flip(-1),
    A.VerticalFlip: lambda tensor, _: tensor.flip(-2),
    A.RandomRotate90: lambda tensor, drawn: tensor.rot90(drawn['factor'], (-2, -1)),
    A.RandomCrop: _crop,
}


def _multiplied(image: Tensor, factor: float, added: float) -> Tensor:
    """Multiply, add, clip and truncate, as OpenCV's tables do; uint8 `[3, H, W]`."""
    return (image.float() * factor + added).clamp_(0, 255).to(torch.uint8)


def _brightness_contrast(image: Tensor, drawn: dict[str, Any]) -> Tensor:
    return _multiplied(image, drawn['alpha'], drawn['beta'])


def _colour_jitter(image: Tensor, drawn: dict[str, Any]) -> Tensor:
    from torchvision.transforms.v2 import functional as vision  # late: only this transform needs it

    names = ('brightness', 'contrast', 'saturation', 'hue')
    for name in (names[number] for number in drawn['order']):
        image = getattr(vision, f'adjust_{name}')(image, drawn[name])
    return image


def _photometric(image: Tensor, drawn: dict[str, Any]) -> Tensor:
    """Change an image as mmseg's `PhotoMetricDistortion` does, but without rounding saturation and hue to 8 bits."""
    from torchvision.transforms.v2 import functional as vision

    contrast = drawn['contrast']
    if drawn['brightness'] is not None:
        image = _multiplied(image, 1, drawn['brightness'])
    if contrast is not None and not drawn['contrast_last']:
        image = _multiplied(image, contrast, 0)
    if drawn['saturation'] is not None:
        image = _saturated(image, drawn['saturation'])
    if drawn['hue'] is not None:
        image = vision.adjust_hue(image, drawn['hue'] / 180)
    if contrast is not None and drawn['contrast_last']:
        image = _multiplied(image, contrast, 0)
    return image


def _saturated(image: Tensor, factor: float) -> Tensor:
    """Multiply the saturation of HSV, up to 1: the value, the largest channel, stays, the others move."""
    values = image.float()
    top = values.amax(0)
    most = top / (top - values.amin(0)).clamp(min=1)  # where the smallest channel becomes 0
    return (top - (top - values) * most.clamp(max=factor)).round_().to(torch.uint8)


#: Applied to the image alone.
COLOUR: dict[type, Apply] = {
    A.RandomBrightnessContrast: _brightness_contrast,
    A.ColorJitter: _colour_jitter,
    PhotoMetricDistortion: _photometric,
}


def check_on_device(pipeline: A.Compose, key: str) -> None:
    """Refuse a transform that cannot run on the device.

    Raises:
        ConfigError: names it, and lists those that can.
    """
    for index, transform in enumerate(pipeline.transforms):
        name = type(transform).__name__
        if type(transform) not in GEOMETRIC | COLOUR:
            able = ', '.join(cls.__name__ for cls in GEOMETRIC | COLOUR)
            message = f'{name} cannot run on the device; move it to data.train_transforms, or use one of {able}'
            raise ConfigError(f'{key}.{index}', message)
        for argument, valid in (('pad_if_needed', False), ('brightness_by_max', True)):
            if getattr(transform, argument, valid) != valid:
                message = f'must be {str(valid).lower()} on the device; or move {name} to data.train_transforms'
                raise ConfigError(f'{key}.{index}.{argument}', message)


def draw(pipeline: A.Compose, size: tuple[int, int], stream: Sequence[int], name: str) -> list[Draw]:
    """Draw the parameters of the transforms for one sample, with random numbers that depend on `stream` alone.

    Args:
        pipeline: of transforms that passed `check_on_device`.
        size: height and width of the sample.
        stream: key of the random stream.
        name: of the image, for errors.

    Raises:
        DataError: if a transform fails, for example a crop that is larger than the image.
    """
    seed_pipeline(pipeline, stream)
    draws: list[Draw] = []
    shape = torch.empty((0, *size))  # has no values, and shows the size after each transform
    for number, transform in enumerate(pipeline.transforms):
        if not transform.should_apply():
            continue
        data = {'image': np.broadcast_to(np.uint8(0), (*shape.shape[1:], 3))}
        try:
            drawn = transform.update_transform_params(transform.get_params(), data)
            drawn.update(transform.get_params_dependent_on_data(drawn, data))
        except Exception as error:  # of any type, as in `transforms.apply`
            raise DataError(f'The transforms of the config fail on the image {name}: {one_line(error)}') from error
        draws.append((number, drawn))
        shape = GEOMETRIC.get(type(transform), _unchanged)(shape, drawn)
    return draws


def _unchanged(tensor: Tensor, _: dict[str, Any]) -> Tensor:
    return tensor


def apply_drawn(pipeline: A.Compose, batch: Batch, ignore_index: int) -> Batch:
    """Return a training batch with the drawn transforms applied, on the device of its tensors, without `draws`.

    Args:
        pipeline: that `draw` was called with.
        batch: with `draws`.
        ignore_index: label of the pixels that fill up smaller images.
    """
    items: list[Item] = []
    for index, (meta, draws) in enumerate(zip(batch['meta'], batch['draws'], strict=True)):
        height, width = meta['size']
        item: Item = {
            'image': batch['image'][index, :, :height, :width],
            'mask': batch['mask'][index, :height, :width],
            'meta': meta,
            'draws': draws,
        }
        if 'padding' in batch:
            item['padding'] = batch['padding'][index, :height, :width]
        items.append(transformed(pipeline, item))
    return collate(items, ignore_index)


def transformed(pipeline: A.Compose, item: Item) -> Item:
    """Return a sample with its drawn transforms applied, without `draws`."""
    image, mask, padding = item['image'], item['mask'], item.get('padding')
    for number, drawn in item.get('draws', []):
        kind = type(pipeline.transforms[number])
        if kind in COLOUR:
            image = COLOUR[kind](image, drawn)
            continue
        apply = GEOMETRIC[kind]
        image = apply(image, drawn)
        mask, padding = (None if each is None else apply(each, drawn) for each in (mask, padding))
    meta = item['meta'].copy()
    meta['size'] = (image.shape[1], image.shape[2])
    result: Item = {'image': image, 'mask': mask, 'meta': meta}
    if padding is not None:
        result['padding'] = padding
    return result
