"""The metrics, compared with mmseg's."""

from typing import Any

import numpy as np
import pytest
import torch
from mmseg.core.evaluation import eval_metrics, mean_iou
from scipy import ndimage

from seglight.models.metrics import SegmentationMetrics, _count_together, _stacked, at_boundary, count_confusions


def random_masks(seed: int, classes: int, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, classes, (count, 17, 23))
    predictions = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, classes, masks.shape))
    masks[rng.random(masks.shape) < 0.1] = 255
    return predictions, masks


@pytest.mark.parametrize('classes', [2, 11, 150])
def test_all_metrics_equal_mmsegs(classes: int) -> None:
    predictions, masks = random_masks(classes, classes)
    metrics = SegmentationMetrics(classes)
    for prediction, mask in zip(predictions, masks, strict=True):
        metrics.update(torch.from_numpy(prediction).to(torch.uint8), torch.from_numpy(mask).to(torch.uint8))
    ours = metrics.compute()
    theirs = mean_iou(list(predictions), list(masks), classes, 255)
    np.testing.assert_allclose(ours['IoU'], theirs['IoU'], atol=1e-6)
    np.testing.assert_allclose(ours['Acc'], theirs['Acc'], atol=1e-6)
    np.testing.assert_allclose(ours['aAcc'], theirs['aAcc'], atol=1e-6)
    np.testing.assert_allclose(ours['mIoU'], np.nanmean(theirs['IoU']), atol=1e-6)
    np.testing.assert_allclose(ours['mAcc'], np.nanmean(theirs['Acc']), atol=1e-6)


@pytest.mark.parametrize('together', [False, True])
@pytest.mark.parametrize(('classes', 'ignore_index'), [(2, 255), (150, 255), (11, 3), (256, 0)])
def test_the_confusion_of_each_image_of_a_batch_equals_numpys(classes: int, ignore_index: int, together: bool) -> None:
    rng = np.random.default_rng(classes)
    sizes = [(17, 23), (5, 30), (40, 2)]
    masks = torch.full((3, 40, 30), ignore_index, dtype=torch.uint8)
    predictions = []
    expected = np.zeros((3, classes, classes), dtype=int)
    for index, (height, width) in enumerate(sizes):
        mask = rng.integers(0, classes, (height, width))
        mask[rng.random(mask.shape) < 0.1] = ignore_index
        prediction = rng.integers(0, classes, mask.shape)
        kept = mask != ignore_index
        np.add.at(expected[index], (mask[kept], prediction[kept]), 1)
        masks[index, :height, :width] = torch.from_numpy(mask)
        predictions.append(torch.from_numpy(prediction).to(torch.uint8))
    if together:  # as on a GPU
        found = _count_together(_stacked(predictions, masks), masks, classes, ignore_index)
    else:
        found = count_confusions(predictions, masks, classes, ignore_index)
    assert (found.numpy() == expected).all()


def test_metrics_computed_by_hand() -> None:
    metrics = SegmentationMetrics(4)
    # Labels 0 0 1 1 2 and one ignored; predictions 0 1 1 1 0 3. Class 3 is predicted only at the ignored pixel.
    metrics.update(torch.tensor([0, 1, 1, 1, 0, 3]), torch.tensor([0, 0, 1, 1, 2, 255]))
    figures = metrics.compute()
    assert figures['IoU'][:3].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert figures['IoU'][3].isnan()
    assert figures['mIoU'].item() == pytest.approx(1 / 3)
    assert figures['mAcc'].item() == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert figures['aAcc'].item() == pytest.approx(3 / 5)


def test_memory_is_one_matrix_for_any_number_of_images() -> None:
    metrics = SegmentationMetrics(3)
    for _ in range(10):
        metrics.update(torch.zeros(50, 50, dtype=torch.uint8), torch.zeros(50, 50, dtype=torch.uint8))
    assert list(metrics.metric_state) == ['confusion']
    assert metrics.confusion.shape == (3, 3)
    assert metrics.confusion.sum() == 25000


def test_two_processes_count_as_one(tmp_path: object) -> None:
    """The state is summed, so the metrics of summed parts are those of the whole."""
    predictions, masks = (torch.from_numpy(part) for part in random_masks(0, 5, count=4))
    whole, parts = SegmentationMetrics(5), [SegmentationMetrics(5), SegmentationMetrics(5)]
    whole.update(predictions, masks)
    for index, part in enumerate(parts):
        part.update(predictions[index::2], masks[index::2])
    add: Any = whole._reductions['confusion']
    reduced = add(torch.stack([part.confusion for part in parts]))
    assert torch.equal(reduced, whole.confusion)


@pytest.mark.parametrize(('classes', 'ignore_index'), [(2, 255), (11, 255), (200, 255), (11, 3)])
def test_dice_fscore_precision_and_recall_equal_mmsegs(classes: int, ignore_index: int) -> None:
    predictions, masks = random_masks(classes, classes)
    masks[masks == 255] = ignore_index
    predictions[predictions == classes - 1] = 0  # a class that is never predicted, whose Fscore is undefined
    metrics = SegmentationMetrics(classes, ignore_index)
    for prediction, mask in zip(predictions, masks, strict=True):
        metrics.update(torch.from_numpy(prediction).to(torch.uint8), torch.from_numpy(mask).to(torch.uint8))
    ours = metrics.compute()
    theirs = eval_metrics(list(predictions), list(masks), classes, ignore_index, ['mDice', 'mFscore'])
    for name in ('Dice', 'Fscore', 'Precision', 'Recall'):
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-6, err_msg=name)
        assert float(ours[f'm{name}']) == pytest.approx(np.nanmean(theirs[name]), abs=1e-6)


def regions(seed: int, classes: int = 4) -> np.ndarray:
    """A label map of connected regions, 60x80, with some pixels to ignore."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random((classes, 60, 80)), (0, 5, 5))
    return np.asarray(noise.argmax(0))


def test_boundary_iou_equals_that_of_eroded_masks() -> None:
    """The definition of arXiv:2103.16562: a mask without its erosion, for each class by itself."""
    classes, distance = 4, 2  # 2 % of the diagonal of 60x80
    metrics = SegmentationMetrics(classes, boundary_iou=True)
    both, either = np.zeros(classes), np.zeros(classes)
    square = np.ones((3, 3), bool)
    for seed in range(3):
        prediction, mask = regions(seed), regions(seed + 1)
        metrics.update(torch.from_numpy(prediction), torch.from_numpy(mask))
        for label in range(classes):
            rings = [
                region & ~ndimage.binary_erosion(region, square, distance)
                for region in (prediction == label, mask == label)
            ]
            both[label] += (rings[0] & rings[1]).sum()
            either[label] += (rings[0] | rings[1]).sum()
    figures = metrics.compute()
    assert 0.02 < (both / either).min() < (both / either).max() < 0.9
    np.testing.assert_allclose(figures['BoundaryIoU'], both / either)
    assert float(figures['mBoundaryIoU']) == pytest.approx((both / either).mean())


def test_ignored_pixels_form_no_boundary() -> None:
    mask = torch.zeros(40, 40, dtype=torch.uint8)
    mask[18:22, 18:22] = 255
    near = at_boundary(mask, mask == 255)
    assert near[:1].all()
    assert not near[5:17, 5:35].any()
