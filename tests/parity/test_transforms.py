"""Our albumentations transforms against mmseg's own, on the same random numbers."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import albumentations as A
import cv2
import numpy as np
import pytest
from mmseg.datasets.pipelines import transforms as mmseg

from seglight.data.transforms import build_pipeline


class Stream:
    """Stands in for `numpy.random` in mmseg and draws from a generator like ours."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def randint(self, low: int, high: int | None = None) -> int:
        return int(self.rng.integers(low, high))

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def random_sample(self) -> float:
        return float(self.rng.random())


@pytest.fixture(params=[(60, 80), (97, 53)])
def scene(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """A smooth RGB image with noise, and a mask of five classes and the ignore label in blocks."""
    rng = np.random.default_rng(3)
    height, width = request.param
    image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), (5, 5), 2)
    blocks = np.array([0, 0, 1, 2, 3, 4, 255], dtype=np.uint8)[rng.integers(0, 7, (8, 8))]
    return image, cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def ours(spec: dict[str, Any], scene: tuple[np.ndarray, np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    pipeline = build_pipeline([spec], 'key')
    pipeline[0].set_random_state(np.random.default_rng(seed), pipeline[0].py_random)
    assert isinstance(pipeline[0], A.BasicTransform)
    result = pipeline[0](image=scene[0], mask=scene[1])
    return result['image'], result['mask']


def theirs(transform: Any, scene: tuple[np.ndarray, np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Run mmseg's transform, which is made for BGR."""
    stream = Stream(seed)
    results = {
        'img': np.ascontiguousarray(scene[0][..., ::-1]),
        'gt_semantic_seg': scene[1],
        'seg_fields': ['gt_semantic_seg'],
        'img_shape': scene[0].shape,
    }
    with patch.multiple(np.random, randint=stream.randint, random_sample=stream.random_sample, uniform=stream.uniform):
        results = transform(results)
    return results['img'][..., ::-1], results['gt_semantic_seg']


PAIRS: dict[str, tuple[dict[str, Any], Any]] = {
    'a scale': (
        {'type': 'KeepRatioResize', 'img_scale': [100, 40]}, mmseg.Resize(img_scale=(100, 40))),
    'a scale that is not kept': (
        {'type': 'KeepRatioResize', 'img_scale': [100, 40], 'keep_ratio': False},
        mmseg.Resize(img_scale=(100, 40), keep_ratio=False)),
    'a range of ratios': (
        {'type': 'KeepRatioResize', 'img_scale': [120, 60], 'ratio_range': [0.5, 2.0]},
        mmseg.Resize(img_scale=(120, 60), ratio_range=(0.5, 2.0))),
    'a range of ratios of the own size': (
        {'type': 'KeepRatioResize', 'ratio_range': [0.5, 2.0]}, mmseg.Resize(ratio_range=(0.5, 2.0))),
    'a range of scales': (
        {'type': 'KeepRatioResize', 'img_scale': [[120, 40], [160, 80]]},
        mmseg.Resize(img_scale=[(120, 40), (160, 80)], multiscale_mode='range')),
    'one of some scales': (
        {'type': 'KeepRatioResize', 'img_scale': [[120, 40], [160, 80], [90, 90]], 'multiscale_mode': 'value'},
        mmseg.Resize(img_scale=[(120, 40), (160, 80), (90, 90)], multiscale_mode='value')),
    'a crop': (
        {'type': 'CatMaxRatioCrop', 'height': 40, 'width': 60, 'cat_max_ratio': 1}, mmseg.RandomCrop((40, 60))),
    'a crop with cat_max_ratio': (
        {'type': 'CatMaxRatioCrop', 'height': 16, 'width': 12, 'cat_max_ratio': 0.6},
        mmseg.RandomCrop((16, 12), cat_max_ratio=0.6)),
    'padding to a size': (
        {'type': 'PadTo', 'height': 90, 'width': 70}, mmseg.Pad(size=(90, 70))),
    'padding to a divisor': (
        {'type': 'PadTo', 'size_divisor': 32}, mmseg.Pad(size_divisor=32)),
    'colours': (
        {'type': 'PhotoMetricDistortion'}, mmseg.PhotoMetricDistortion()),
    'few colours': (
        {'type': 'PhotoMetricDistortion', 'brightness_delta': 90, 'contrast_range': [0.1, 3], 'hue_delta': 60},
        mmseg.PhotoMetricDistortion(brightness_delta=90, contrast_range=(0.1, 3), hue_delta=60)),
}  # fmt: skip


@pytest.mark.parametrize('case', PAIRS)
def test_image_and_mask_are_mmsegs_to_the_bit(case: str, scene: tuple[np.ndarray, np.ndarray]) -> None:
    spec, transform = PAIRS[case]
    if case == 'padding to a size':
        scene = (scene[0][:60, :50], scene[1][:60, :50])  # mmseg refuses what is larger
    results = set()
    for seed in range(24):
        image, mask = ours(spec, scene, seed)
        expected_image, expected_mask = theirs(transform, scene, seed)
        assert np.array_equal(mask, expected_mask)
        assert np.array_equal(image, expected_image), np.abs(image.astype(int) - expected_image).max()
        results.add((image.tobytes(), image.shape))
    if 'range' in case or 'crop' in case or 'colours' in case:
        assert len(results) > 5


def test_padding_counts_in_a_crop_as_little_as_in_mmseg(scene: tuple[np.ndarray, np.ndarray]) -> None:
    """Padding has a label of its own here, and the ignored label there."""
    specs = [
        {'type': 'PadTo', 'height': 140, 'width': 120},
        {'type': 'CatMaxRatioCrop', 'height': 48, 'width': 40, 'cat_max_ratio': 0.4},
    ]
    pad, crop = build_pipeline(specs, 'key', classes=list('abcde'))
    pad_there, crop_there = mmseg.Pad(size=(140, 120)), mmseg.RandomCrop((48, 40), cat_max_ratio=0.4)
    for seed in range(24):
        crop.set_random_state(np.random.default_rng(seed), crop.py_random)
        padded = pad(image=scene[0], mask=scene[1])
        result = crop(image=padded['image'], mask=padded['mask'])
        image, mask = theirs(lambda results: crop_there(pad_there(results)), scene, seed)
        assert np.array_equal(result['image'], image)
        assert np.array_equal(np.where(result['mask'] == 254, 255, result['mask']), mask)


@pytest.mark.parametrize('given', [{}, {'fill_mask': 255}], ids=['', 'fill_mask'])
def test_a_batch_is_padded_with_zeros_after_normalisation_as_in_mmseg(tmp_path: Path, given: dict[str, Any]) -> None:
    """The standard pipeline ends in Normalize and Pad: what is padded is zero, also when padding comes before a flip."""
    import torch

    from seglight.batch import collate
    from seglight.data.dataset import SegmentationDataset
    from seglight.data.sources import Context, FolderSource
    from seglight.models.inference.logits import normalize

    for kind in ('img', 'ann'):
        (tmp_path / kind).mkdir()
    image = np.random.default_rng(0).integers(1, 255, (20, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'img/a.png'), image[..., ::-1])
    cv2.imwrite(str(tmp_path / 'ann/a.png'), np.where(image[..., 0] > 128, 255, 1).astype(np.uint8))
    samples = FolderSource('img', 'ann').samples(Context(['a', 'b'], root=tmp_path))
    specs = [{'type': 'PadTo', 'height': 40, 'width': 40, **given}, {'type': 'HorizontalFlip', 'p': 1.0}]
    data = SegmentationDataset(samples, build_pipeline(specs, 'key', classes=['a', 'b']), ['a', 'b'], training=True)
    batch = collate([data[0]])
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
    result = normalize(batch['image'], mean, std, [batch['meta'][0]['size']], batch['padding'])[0].numpy()
    expected = np.zeros((3, 40, 40))
    expected[:, :20, 10:] = ((image[:, ::-1] - mean.numpy()) / std.numpy()).transpose(2, 0, 1)
    assert np.allclose(result, expected, atol=1e-5)
    assert (batch['mask'][0, 20:] == 255).all()
    assert (batch['mask'][0, :, :10] == 255).all()
