"""Logits and masks, compared with mmseg's own inference."""

import copy
from functools import partial
from typing import Any

import mmcv
import numpy as np
import pytest
import torch
from conftest import TINY_SEGMENTOR
from mmseg.models.segmentors import BaseSegmentor

from seglight.models.inference.logits import each_size, image_logits, normalize, predict_mask, threshold
from seglight.models.recipe import Recipe

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def segmentor(**test_cfg: Any) -> BaseSegmentor:
    torch.manual_seed(0)
    model = {**copy.deepcopy(TINY_SEGMENTOR), 'test_cfg': {'mode': 'whole', **test_cfg}}
    return Recipe(model).for_data(5).build().eval()


def test_normalising_equals_mmcvs_with_padding_of_zeros() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    bgr = np.ascontiguousarray(image[..., ::-1])
    expected = mmcv.impad(mmcv.imnormalize(bgr, np.array(MEAN), np.array(STD), to_rgb=True), shape=(24, 32), pad_val=0)
    padded = torch.zeros(1, 3, 24, 32, dtype=torch.uint8)
    padded[0, :, :20, :30] = torch.from_numpy(image).permute(2, 0, 1)
    ours = normalize(padded, torch.tensor(MEAN), torch.tensor(STD), [(20, 30)])[0].permute(1, 2, 0)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize('test_cfg', [{}, {'mode': 'slide', 'crop_size': (32, 32), 'stride': (20, 20)}])
def test_masks_equal_those_of_mmsegs_simple_test(test_cfg: dict[str, Any]) -> None:
    model = segmentor(**test_cfg)
    image = torch.randn(2, 3, 48, 40)
    meta = [{'ori_shape': (75, 61, 3), 'img_shape': (48, 40, 3), 'flip': False}] * 2
    with torch.no_grad():
        expected = model.simple_test(image, meta)
        ours = predict_mask(image_logits(model, image, (75, 61)), threshold(model))
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == torch.uint8
        assert (one.numpy() == other).all()
    assert len(np.unique(expected)) > 1


def test_the_logits_of_an_image_do_not_depend_on_the_batch_it_is_in() -> None:
    model = segmentor()
    sizes, originals = [(32, 40), (48, 24), (32, 40)], [(64, 80), (48, 24), (30, 50)]
    images = [torch.randn(3, *size) for size in sizes]
    batch = torch.full((3, 3, 48, 40), 9.0)
    for padded, image, (height, width) in zip(batch, images, sizes, strict=True):
        padded[:, :height, :width] = image
    with torch.no_grad():
        infer: Any = partial(image_logits, model)
        together = each_size(infer, batch, sizes, originals)
        for logits, image, original in zip(together, images, originals, strict=True):
            alone = image_logits(model, image[None], original)[0]
            assert logits.shape == (5, *original)
            torch.testing.assert_close(logits, alone)


def test_a_binary_head_predicts_by_its_threshold() -> None:
    model = segmentor()
    model.decode_head.threshold = 0.3
    probabilities = torch.tensor([[[[0.12, 0.38, 0.88]]]])
    assert predict_mask(probabilities, threshold(model)).tolist() == [[[0, 1, 1]]]
