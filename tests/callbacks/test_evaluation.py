"""The record of a validation, compared with the metrics of mmseg and torchmetrics."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import Result
from mmseg.core.evaluation.metrics import intersect_and_union
from PIL import Image
from pytorch_lightning import Trainer
from torchmetrics.functional.classification import multiclass_calibration_error

from seglight.batch import ImageMeta
from seglight.callbacks.evaluation import (
    EXAMPLES,
    SHIFT,
    EvaluationRecorder,
    _calibration,
    _evaluation,
    _keep,
    _on_host,
    _Pass,
)
from seglight.data import SegmentationDataModule
from seglight.models import Segmentor
from seglight.models.inference.logits import STRIDE, Prediction, confidence, strided
from seglight.models.inference.options import PLAIN, Options
from seglight.report.evaluation import BINS, Evaluation, load_evaluation

Run = Callable[..., Result]


@pytest.fixture(scope='module')
def predictions(trained: Path, data_root: Path) -> dict[str, tuple[np.ndarray, np.ndarray, torch.Tensor]]:
    """Mask, prediction and logits of each validation image, by the best checkpoint."""
    checkpoint = next(trained.glob('best_*.ckpt'))
    module = Segmentor.load_from_checkpoint(checkpoint, map_location='cpu', weights_only=True).eval()
    data = SegmentationDataModule(module.classes, root=str(data_root), batch_size=1, num_workers=0)
    data.setup('validate')
    found = {}
    with torch.no_grad():
        batch: Any
        for batch in data.val_dataloader():
            (logits,) = module(batch)
            found[batch['meta'][0]['name']] = batch['mask'][0].numpy(), logits.argmax(0).numpy(), logits
    return found


@pytest.fixture(scope='module')
def recorded(trained: Path) -> Evaluation:
    return load_evaluation(trained / 'evaluation' / 'fit.npz')


def test_the_confusion_is_that_of_the_best_epoch(recorded: Evaluation, predictions: dict[str, Any]) -> None:
    expected = np.zeros((11, 11), dtype=int)
    for mask, prediction, _ in predictions.values():
        np.add.at(expected, (mask, prediction), 1)
    assert (recorded.confusion == expected).all()
    assert recorded.names == list(predictions)
    assert (recorded.train_pixels == 0).sum() < 11
    assert recorded.train_pixels.sum() == 8 * 48 * 48  # every crop of the first epoch


def test_the_iou_of_each_image_equals_mmseg(recorded: Evaluation, predictions: dict[str, Any]) -> None:
    for iou, (mask, prediction, _) in zip(recorded.image_iou, predictions.values(), strict=True):
        intersection, union, _, _ = intersect_and_union(prediction, mask, 11, 255)
        assert iou == pytest.approx(float((intersection / union)[union > 0].mean()))


def test_the_best_and_the_worst_images_have_their_masks(recorded: Evaluation, predictions: dict[str, Any]) -> None:
    order = [name for _, name in sorted(zip(recorded.image_iou, recorded.names, strict=True), reverse=True)]
    assert [example.name for example in recorded.best] == order[:2]
    assert [example.name for example in recorded.worst] == order[:1:-1]
    for example in [*recorded.best, *recorded.worst]:
        mask, prediction, _ = predictions[example.name]
        assert (example.mask == mask).all()
        assert (example.prediction == prediction).all()
        assert Image.open(example.path).size == mask.shape[::-1]


def test_the_calibration_error_equals_torchmetrics(recorded: Evaluation, predictions: dict[str, Any]) -> None:
    grid = (slice(None, None, STRIDE), slice(None, None, STRIDE))
    logits = torch.cat([logits[(slice(None), *grid)].flatten(1).T for _, _, logits in predictions.values()])
    masks = np.concatenate([mask[grid].ravel() for mask, _, _ in predictions.values()])
    expected = multiclass_calibration_error(logits.softmax(1), torch.from_numpy(masks).long(), 11, n_bins=BINS)
    assert recorded.calibration_error == pytest.approx(float(expected), abs=1e-5)
    assert recorded.bin_counts.sum() == len(masks)


def test_ignored_pixels_and_binary_heads_are_counted_correctly() -> None:
    logits = torch.tensor([[[3.0, -3.0, 3.0, -3.0]]]).repeat_interleave(STRIDE, 2)  # probability 0.953
    prediction = (logits[0] > 0).to(torch.uint8)
    mask = torch.tensor([[1, 0, 0, 255]], dtype=torch.uint8).repeat_interleave(STRIDE, 1)
    probabilities = strided(logits.sigmoid())
    sure = confidence(probabilities[None], strided(prediction)[None])[0]
    counts, sums, hits = _calibration([Prediction(prediction, None, sure)], mask[None], 255)
    assert counts.tolist() == [0] * (BINS - 1) + [3]
    assert sums[-1].item() / 2**SHIFT == pytest.approx(3 * torch.tensor(3.0).sigmoid().item())
    assert hits[-1] == 2


def test_the_calibration_of_a_batch_is_that_of_its_images_in_any_order() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = torch.full((3, 30, 41), 255, dtype=torch.uint8)
    predictions = []
    for mask, (height, width) in zip(masks, [(30, 20), (9, 41), (17, 5)], strict=True):
        mask[:height, :width] = torch.randint(0, 3, (height, width), generator=generator)
        predicted = torch.randint(0, 3, (height, width), generator=generator, dtype=torch.uint8)
        sure = torch.rand(strided(predicted).shape, generator=generator)
        sure[0, 0] = float('nan')  # from a diverged model: counts as 0
        predictions.append(Prediction(predicted, None, sure))
    found = _calibration(predictions, masks, 255)
    backwards = _calibration(predictions[::-1], masks.flip(0), 255)
    assert found.equal(backwards)
    expected = np.zeros((3, BINS))
    for one, mask in zip(predictions, masks, strict=True):
        assert one.confidence is not None
        for row in range(one.confidence.shape[0]):
            for column in range(one.confidence.shape[1]):
                value = float(one.confidence[row, column].nan_to_num())
                hit = int(one.mask[STRIDE * row, STRIDE * column] == mask[STRIDE * row, STRIDE * column])
                expected[:, min(int(value * BINS), BINS - 1)] += [1, value, hit]
    np.testing.assert_allclose(found / torch.tensor([[1], [2**SHIFT], [1]]), expected, rtol=1e-6)


def test_the_confidence_is_kept_only_if_it_is_counted() -> None:
    recorder = EvaluationRecorder()
    assert all(recorder.adapt(PLAIN, stage) == Options(confidence=True) for stage in ('fit', 'validate', 'test'))
    assert recorder.adapt(PLAIN, 'predict') == PLAIN


def test_a_pass_that_fails_is_not_counted() -> None:
    trainer: Any = None
    module: Any = SimpleNamespace(classes=['a', 'b'], device=torch.device('cpu'))
    recorder = EvaluationRecorder()
    recorder.on_validation_epoch_start(trainer, module)
    recorder.on_exception(trainer, module, ValueError())
    recorder.on_validation_epoch_end(trainer, module)
    assert recorder.evaluation is None


@pytest.mark.parametrize('fault', ['none', 'cut', 'flipped', 'other classes'])
def test_an_unusable_record_does_not_stop_a_resumed_run(
    trained: Path, recorded: Evaluation, tmp_path: Path, fault: str
) -> None:
    content = bytearray((trained / 'evaluation' / 'fit.npz').read_bytes())
    file = tmp_path / 'fit.npz'
    if fault == 'flipped':
        for position in range(0, len(content), 50):
            content[position] ^= 255
    file.write_bytes(content[:400] if fault == 'cut' else content)
    classes = recorded.classes[::-1] if fault == 'other classes' else recorded.classes
    recorder = EvaluationRecorder(file)
    trainer: Any = SimpleNamespace(callbacks=[])
    module: Any = SimpleNamespace(classes=classes)
    recorder.on_fit_start(trainer, module)
    assert recorder._best == (recorded.miou if fault == 'none' else -1)


def test_images_may_have_the_same_name_and_iou() -> None:
    counted = _Pass(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(3, BINS, dtype=torch.int64))
    mask = torch.ones(4, 4, dtype=torch.uint8)
    for folder in range(EXAMPLES + 2):
        meta: ImageMeta = {'path': f'{folder}/a.jpg', 'name': 'a', 'size': (4, 4), 'original_size': (4, 4)}
        _keep(counted, np.array([[0, 0], [0, 16]]), mask, mask, meta)
    assert len(counted.best) == len(counted.worst) == EXAMPLES


@pytest.mark.parametrize('command', ['validate', 'test'])
def test_validate_and_test_write_separate_records(trained: Path, run: Run, tmp_path: Path, command: str) -> None:
    shutil.copy(trained / 'epoch_2.ckpt', tmp_path / 'a.ckpt')
    done = run(command, '--ckpt', tmp_path / 'a.ckpt', '--trainer.accelerator=cpu', '--report=false')
    assert done.status == 0, done.err
    found = load_evaluation(tmp_path / 'evaluation' / f'{command}_a.npz')
    assert f'mIoU           {100 * found.miou:6.2f} %' in done.out


def test_an_unwritable_folder_prevents_only_the_report(trained: Path, run: Run, tmp_path: Path) -> None:
    shutil.copy(trained / 'epoch_2.ckpt', tmp_path / 'a.ckpt')
    (tmp_path / 'evaluation').touch()  # where the folder would be
    done = run('validate', '--ckpt', tmp_path / 'a.ckpt', '--trainer.accelerator=cpu')
    assert done.status == 0, done.err
    assert f'No report: {tmp_path}/evaluation/validate_a.npz cannot be written: ' in done.out
    assert '  mIoU ' in done.out


@pytest.mark.parametrize('hits', [[16, 8, 8], [8, 8, 8, 8], [16, 8, 8, 8, 0], [8, 8, 16]])
def test_every_image_is_the_best_or_the_worst_also_with_equal_iou(hits: list[int]) -> None:
    counted = _Pass(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(3, BINS, dtype=torch.int64))
    mask = torch.ones(4, 4, dtype=torch.uint8)
    names = [f'a{"b" * index}' for index in range(len(hits))]
    for name, hit in zip(names, hits, strict=True):
        meta: ImageMeta = {'path': f'{name}.jpg', 'name': name, 'size': (4, 4), 'original_size': (4, 4)}
        _keep(counted, np.array([[0, 0], [16 - hit, hit]]), mask, mask, meta)
    module, trainer = SimpleNamespace(classes=['a', 'b']), SimpleNamespace(state=SimpleNamespace(fn='validate'))
    found = _evaluation([_on_host(counted)], cast(Trainer, trainer), module, torch.zeros(2))
    assert sorted(example.name for example in [*found.best, *found.worst]) == sorted(names)
    assert min(example.iou for example in found.best) >= max(example.iou for example in found.worst)
