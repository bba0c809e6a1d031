"""Validation and predict on a device without values: whatever would wait for a value fails.

Tensors on torch's meta device have no values, so reading one, copying one to the host, or an operator whose result's
size depends on values raises an error there; these are the calls that wait for a GPU.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch

from seglight.batch import Batch
from seglight.callbacks import EvaluationRecorder, MaskWriter, PredictionSummary, ProbabilityWriter, PseudoLabelWriter
from seglight.callbacks.writers.base import PredictionWriter
from seglight.models import Segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views

CLASSES = ['a', 'b', 'c', 'd', 'e']
SLIDING = {'mode': 'slide', 'crop_size': (24, 24), 'stride': (16, 16), 'blend': 'gaussian'}


class Copying:
    """A copy to the host that never arrives, as while the device computes."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor
        self.nbytes = tensor.nbytes

    def array(self) -> Any:
        """Return zeros, in place of values that a device would have computed by now."""
        return np.zeros(self.tensor.shape, np.dtype(str(self.tensor.dtype).removeprefix('torch.')))


@pytest.fixture(autouse=True)
def _copies(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ('callbacks.evaluation', 'callbacks.writers.base', 'host_copy'):
        monkeypatch.setattr(f'seglight.{module}.HostCopy', Copying)
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())  # which knows no meta device


def segmentor(**options: Any) -> Segmentor:
    model = {**copy.deepcopy(TINY_SEGMENTOR), **options.pop('model', {})}
    return Segmentor(model, CLASSES, **options).eval()


def on_meta(batch: Batch) -> Batch:
    return {**batch, 'image': batch['image'].to('meta'), 'mask': batch['mask'].to('meta')}


def mixed_batch() -> Batch:
    """Four images, of which the first and the third have another size than the rest."""
    batch = random_batch()
    for meta in batch['meta'][::2]:
        meta['size'] = meta['original_size'] = (28, 31)
    return batch


@pytest.mark.parametrize('test_cfg', [{'mode': 'whole'}, SLIDING])
@pytest.mark.parametrize('views', [None, Views(make_views((1.0, 1.25), ('horizontal',), (0, 90)), 'vote')])
def test_a_validation_step_and_its_record_do_not_wait(
    test_cfg: dict[str, Any], views: Views | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = segmentor(model={'test_cfg': test_cfg}, boundary_iou=True)
    with torch.no_grad():
        module.predict(mixed_batch())  # finds out which sizes the segmentor takes
        module.to('meta')
        recorder, trainer = EvaluationRecorder(), SimpleNamespace(sanity_checking=False)
        wanted = Options(views, confidence=True)
        monkeypatch.setattr(module, 'predict_step', lambda batch, _: module.predict(batch, wanted))
        recorder.on_validation_epoch_start(trainer, module)  # type: ignore[arg-type]
        for index in range(3):
            batch = on_meta(mixed_batch())
            outputs = module.validation_step(batch, index)
            recorder.on_validation_batch_end(trainer, module, outputs, batch, index)  # type: ignore[arg-type]
    assert outputs['confusions'].shape == (4, 5, 5)
    with pytest.raises((RuntimeError, NotImplementedError)):
        outputs['confusions'].cpu()  # a copy that waits would have failed


def test_predicting_and_writing_do_not_wait(tmp_path: Path) -> None:
    module = segmentor()
    trainer: Any = SimpleNamespace(
        sanity_checking=False, world_size=1, is_global_zero=True, datamodule=None, progress_bar_callback=None,
        strategy=None, callbacks=[],
    )  # fmt: skip
    writers: list[PredictionWriter] = [MaskWriter(tmp_path / 'a'), PseudoLabelWriter(tmp_path / 'b', 0.5)]
    writers += [ProbabilityWriter(tmp_path / f'{quantize}', quantize) for quantize in (False, True)]
    summary = PredictionSummary(tmp_path)
    for writer in writers:
        writer.setup(trainer, module, 'predict')
    with torch.inference_mode():
        module.predict(mixed_batch())
        module.to('meta')
        for index in range(3):
            batch: Any = {key: value for key, value in on_meta(mixed_batch()).items() if key != 'mask'}
            for number, meta in enumerate(batch['meta']):
                meta['name'] = f'{index}_{number}'
            predictions = module.predict(batch, Options(probabilities=True))
            summary.on_predict_batch_end(trainer, module, predictions, batch, index)
            for writer in writers:
                writer.write_on_batch_end(trainer, module, predictions, None, batch, index, 0)
    for writer in writers:
        writer.teardown(trainer, module, 'predict')
    assert len(list((tmp_path / 'a').iterdir())) == 12
    assert summary.count == 12


def test_the_validation_loss_is_summed_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    module = segmentor(val_loss=True)
    with torch.no_grad():
        module.predict(mixed_batch())
        module.to('meta')
        # mmseg's losses are another matter.
        monkeypatch.setattr(module, '_loss_of', lambda batch: batch['image'].float().mean())
        module.validation_step(on_meta(mixed_batch()), 0)
    assert module.mean_loss is not None
    assert module.mean_loss.sum.shape == ()
