"""Transforms on the device: equal to albumentations', and random by seed, epoch and index alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
import pytest
import torch
from conftest import Result, write_tiny_config

from seglight.batch import Item, collate
from seglight.data import SegmentationDataModule
from seglight.data.device_transforms import apply_drawn, check_on_device, draw, transformed
from seglight.data.transforms import build_pipeline
from seglight.errors import ConfigError, DataError

KEY = 'data.device_transforms'

FLIPS: list[dict[str, Any]] = [{'type': 'HorizontalFlip', 'p': 0.5}, {'type': 'VerticalFlip', 'p': 0.5}]
TURN: dict[str, Any] = {'type': 'RandomRotate90', 'p': 0.8}
CROP: dict[str, Any] = {'type': 'RandomCrop', 'height': 24, 'width': 20}


def sample(height: int = 37, width: int = 53, seed: int = 0) -> Item:
    """A smooth image with noise, a mask of classes and ignored pixels, and padding at the right."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] * np.ones((height, 1, 1)) * [1.0, 0.7, 0.4]
    image = (ramp + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)
    mask = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (height, width))
    return {
        'image': torch.from_numpy(image).permute(2, 0, 1),
        'mask': torch.from_numpy(mask),
        'padding': torch.arange(width).expand(height, width) > width - 9,
        'meta': {'path': 'a.jpg', 'name': 'a', 'original_size': (height, width), 'size': (height, width)},
    }


def by_albumentations(specs: list[dict[str, Any]], item: Item, draws: Any) -> dict[str, npt.NDArray[Any]]:
    """Apply drawn parameters with albumentations' own functions."""
    assert item['mask'] is not None
    done = {
        'image': np.ascontiguousarray(item['image'].permute(1, 2, 0).numpy()),
        'mask': item['mask'].numpy(),
        'padding': item['padding'].numpy().astype(np.uint8),
    }
    pipeline = build_pipeline(specs, KEY)
    for number, drawn in draws:
        transform = pipeline.transforms[number]
        done['image'] = transform.apply(done['image'], **drawn)
        if isinstance(transform, A.DualTransform):
            done |= {name: transform.apply_to_mask(done[name], **drawn) for name in ('mask', 'padding')}
    return done


@pytest.mark.parametrize('specs', [FLIPS, [TURN], [CROP], [TURN, CROP, *FLIPS], [CROP, TURN]], ids=str)
def test_flips_turns_and_crops_equal_albumentations_pixel_for_pixel(specs: list[dict[str, Any]]) -> None:
    pipeline, item = build_pipeline(specs, KEY), sample()
    check_on_device(pipeline, KEY)
    drawn = [draw(pipeline, item['meta']['size'], (7, index), 'a') for index in range(12)]
    assert len({str(each) for each in drawn}) > 1
    for draws in drawn:
        expected = by_albumentations(specs, item, draws)
        done = transformed(pipeline, {**item, 'draws': draws})
        assert done['mask'] is not None
        np.testing.assert_array_equal(done['image'].permute(1, 2, 0), expected['image'])
        np.testing.assert_array_equal(done['mask'], expected['mask'])
        np.testing.assert_array_equal(done['padding'], expected['padding'])
        assert done['meta']['size'] == expected['mask'].shape
        assert 'draws' not in done


@pytest.mark.parametrize(
    ('spec', 'most', 'mean'),
    [
        ({'type': 'RandomBrightnessContrast', 'p': 1.0}, 1, 0.6),
        ({'type': 'ColorJitter', 'hue': 0.0, 'p': 1.0}, 4, 1.0),
        ({'type': 'ColorJitter', 'p': 1.0}, 12, 2.0),  # OpenCV's hue has steps of two degrees
        ({'type': 'PhotoMetricDistortion', 'p': 1.0}, 12, 1.5),
    ],
    ids=lambda value: str(value),
)
def test_colours_equal_those_on_the_cpu_up_to_rounding(spec: dict[str, Any], most: int, mean: float) -> None:
    pipeline, item = build_pipeline([spec], KEY), sample()
    check_on_device(pipeline, KEY)
    changed = 0.0
    for index in range(20):
        draws = draw(pipeline, item['meta']['size'], (7, index), 'a')
        expected = by_albumentations([spec], item, draws)['image'].astype(float)
        done = transformed(pipeline, {**item, 'draws': draws})
        assert torch.equal(torch.as_tensor(item['mask']), torch.as_tensor(done['mask']))
        difference = np.abs(done['image'].permute(1, 2, 0).numpy() - expected)
        assert np.quantile(difference, 0.999) <= most, draws
        assert difference.mean() <= mean, draws
        changed += np.abs(expected - item['image'].permute(1, 2, 0).numpy()).mean()
    assert changed / 20 > 5


def test_images_of_several_sizes_are_transformed_without_what_fills_them_up() -> None:
    pipeline = build_pipeline([{'type': 'HorizontalFlip', 'p': 1.0}], KEY)
    items = [sample(8, 6), sample(5, 9, seed=1)]
    for item in items:
        del item['padding']
        item['draws'] = draw(pipeline, item['meta']['size'], (1,), 'a')
    done = apply_drawn(pipeline, collate(items), 255)
    assert done['image'].shape == (2, 3, 8, 9)
    for number, (height, width) in enumerate([(8, 6), (5, 9)]):
        assert torch.equal(done['image'][number, :, :height, :width], items[number]['image'].flip(-1))
        assert torch.equal(done['mask'][number, :height, :width], torch.as_tensor(items[number]['mask']).flip(-1))
    assert (done['mask'][0, :, 6:] == 255).all()
    assert 'draws' not in done
    assert done['image'].is_contiguous(memory_format=torch.channels_last)


def test_a_crop_larger_than_the_image_is_an_error_of_the_data() -> None:
    with pytest.raises(DataError, match=r'fail on the image photos/a.jpg: Crop size .* \(24, 20\) vs \(10, 10\)'):
        draw(build_pipeline([CROP], KEY), (10, 10), (1,), 'photos/a.jpg')


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        (
            {'type': 'GaussianBlur'},
            'data.device_transforms.1: GaussianBlur cannot run on the device; move it to data.train_transforms, or use '
            'one of HorizontalFlip, VerticalFlip, RandomRotate90, RandomCrop, RandomBrightnessContrast, ColorJitter, '
            'PhotoMetricDistortion',
        ),
        ({'type': 'OneOf', 'transforms': FLIPS}, 'data.device_transforms.1: OneOf cannot run on the device; '),
        ({**CROP, 'pad_if_needed': True}, 'data.device_transforms.1.pad_if_needed must be false on the device; '),
    ],
    ids=['blur', 'composition', 'padding'],
)
def test_what_cannot_run_there_is_refused(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_on_device(build_pipeline([FLIPS[0], spec], KEY), KEY)
    assert str(caught.value).startswith(message)


def batches(root: Path, workers: int, epoch: int, start: int = 0) -> list[Any]:
    """Return the training batches of an epoch, as the model receives them, from a sample on."""
    data = SegmentationDataModule(
        list(map(str, range(12))), root=str(root), batch_size=2, num_workers=workers, train_transforms=[],
        mixes=[{'type': 'CutMix', 'p': 0.5}], device_transforms=[CROP, *FLIPS, {'type': 'ColorJitter'}],
    )  # fmt: skip
    data.setup('fit')
    data.position = data.position._replace(epoch=epoch, samples=start)
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def same(one: Any, other: Any) -> bool:
    return torch.equal(one['image'], other['image']) and torch.equal(one['mask'], other['mask'])


def test_a_batch_depends_on_seed_epoch_and_index_alone(data_root: Path) -> None:
    first = batches(data_root, workers=0, epoch=0)
    assert [batch['image'].shape for batch in first] == [(2, 3, 24, 20)] * 4
    assert all(same(*pair) for pair in zip(first, batches(data_root, workers=2, epoch=0), strict=True))
    assert all(same(*pair) for pair in zip(first[2:], batches(data_root, workers=0, epoch=0, start=4), strict=True))
    assert not any(same(*pair) for pair in zip(first, batches(data_root, workers=0, epoch=1), strict=True))


def test_a_run_trains_with_them_and_shows_them(workspace: Path, data_root: Path, run: Callable[..., Result]) -> None:
    config = write_tiny_config(workspace / 'tiny.yaml', data_root)
    arguments = ('--config', config, '--data.device_transforms=[{type: HorizontalFlip}, {type: ColorJitter}]')
    result = run('fit', *arguments, '--trainer.max_epochs=1')
    assert result.status == 0, result.err
    assert run('data', 'show', *arguments, '--output', 'shown.png').status == 0
    assert run('predict', '--ckpt', 'exp1').status == 0
    refused = run('fit', '--config', config, '--data.device_transforms=[{type: Rotate}]')
    assert (refused.status, len(refused.err.splitlines())) == (2, 1)
    assert 'Rotate cannot run on the device' in refused.err
