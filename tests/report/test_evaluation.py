"""The file of an evaluation."""

from pathlib import Path

import numpy as np
import pytest
from mmseg.core.evaluation.metrics import mean_iou

from seglight.errors import UserError
from seglight.report.evaluation import BINS, Evaluation, Example, load_evaluation, save_evaluation


def make_evaluation(classes: int = 4, images: int = 3, seed: int = 0) -> Evaluation:
    """An evaluation of random predictions; the last class occurs nowhere."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, classes - 1, (images, 20, 30)).astype(np.uint8)
    predictions = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, classes - 1, masks.shape)).astype('u1')
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (masks, predictions), 1)
    counts = rng.integers(0, 50, BINS)
    return Evaluation(
        classes=[f'class {index}' for index in range(classes)],
        palette=[[40 * index, 90, 200 - 30 * index] for index in range(classes)],
        ignore_index=255,
        epoch=3,
        step=12,
        confusion=confusion,
        names=[f'folder/{index}' for index in range(images)],
        image_iou=rng.random(images),
        bin_counts=counts,
        bin_confidence=counts * (np.arange(BINS) + 0.5) / BINS,
        bin_hits=counts // 2,
        train_pixels=confusion.sum(1),
        best=[Example('gone.jpg', 'folder/0', 0.7, masks[0], predictions[0])],
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = make_evaluation()
    save_evaluation(written, tmp_path / 'a.npz')
    read = load_evaluation(tmp_path / 'a.npz')
    for name, value in vars(written).items():
        if name not in ('best', 'worst'):
            np.testing.assert_equal(getattr(read, name), value)
    assert (read.best[0].path, read.best[0].name, read.best[0].iou) == ('gone.jpg', 'folder/0', 0.7)
    assert (read.best[0].mask == written.best[0].mask).all()
    assert (read.best[0].prediction == written.best[0].prediction).all()
    assert read.worst == []


def test_its_figures_are_mmsegs() -> None:
    found = make_evaluation(images=1)
    mask, prediction = found.best[0].mask, found.best[0].prediction
    expected = mean_iou([prediction], [mask], num_classes=4, ignore_index=255)
    np.testing.assert_allclose(found.iou, expected['IoU'])
    np.testing.assert_allclose(found.accuracy, expected['Acc'])
    assert found.miou == pytest.approx(np.nanmean(expected['IoU']))


def test_an_evaluation_without_a_labelled_pixel_has_no_figures() -> None:
    found = make_evaluation()
    found.confusion[:] = 0
    found.bin_counts[:] = 0
    assert np.isnan(found.miou)
    assert np.isnan(found.calibration_error)


def test_a_flipped_byte_is_refused_or_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    save_evaluation(make_evaluation(), path)
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 7):
        path.write_bytes(content[:position] + bytes([content[position] ^ 255]) + content[position + 1 :])
        try:
            load_evaluation(path)
        except UserError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize('damage', ['cut', 'other', 'pickled'])
def test_a_damaged_file_is_refused_and_nothing_is_unpickled(tmp_path: Path, damage: str) -> None:
    path = tmp_path / 'a.npz'
    save_evaluation(make_evaluation(), path)
    if damage == 'cut':
        path.write_bytes(path.read_bytes()[:400])
    elif damage == 'other':
        np.savez(path, confusion=np.zeros((2, 2)))
    else:
        np.savez(path, confusion=np.array([object()], dtype=object))
    with pytest.raises(UserError, match=r'a\.npz cannot be read: .* run validate again'):
        load_evaluation(path)
