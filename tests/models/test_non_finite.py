"""Training steps whose loss is infinite or NaN."""

import copy
from pathlib import Path
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY_SEGMENTOR, random_batch
from torch.utils.data import DataLoader

from seglight.errors import TrainingError
from seglight.models import Segmentor
from seglight.models.non_finite import Step


def test_a_step_names_what_is_not_finite_and_saves_its_batch(tmp_path: Path) -> None:
    batch: Any = {'image': torch.ones(1, 3, 2, 2), 'meta': [{'name': 'a'}]}
    items = {'decode.loss_ce': torch.tensor(float('nan')), 'aux.loss_ce': torch.tensor(0.5)}
    step = Step(batch, items)
    assert step.describe() == '(decode.loss_ce nan; images a)'
    error = step.save(tmp_path, 7, 1)
    file = tmp_path / 'non_finite_step_7.pt'
    assert str(error).startswith(
        f'the loss of step 7 is not finite {step.describe()}; the batch is saved in {file}; lower'
    )
    saved = torch.load(file, weights_only=True)
    assert (saved['step'], saved['epoch']) == (7, 1)
    assert torch.equal(saved['batch']['image'], batch['image'])


def test_weights_that_are_nan_are_reported_when_they_are_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    module = Segmentor(TINY_SEGMENTOR, ['a', 'b', 'c']).eval()
    state = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(state)
    assert capsys.readouterr().err == ''
    state['segmentor.decode_head.conv_seg.bias'][1] = float('nan')
    module.load_state_dict(state)
    err = capsys.readouterr().err
    assert f'1 of {len(state)} weights to load contain NaN, first segmentor.decode_head.conv_seg.bias' in err
    with torch.inference_mode():  # otherwise nothing would show it
        assert all(not prediction.mask.sub(1).any() for prediction in module.predict(random_batch(2)))


CLASSES = ['a', 'b', 'c', 'd', 'e']


class Kept(pl.Callback):
    """Keeps the weights that a module has when its run ends with an error."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.weights = {name: value.detach().clone() for name, value in pl_module.named_parameters()}


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, batches: int, bad: int | None, **options: Any) -> Segmentor:
    """Train on this many batches, of which one has a loss of NaN in the heads, and return the module."""
    torch.manual_seed(0)
    module = Segmentor(copy.deepcopy(TINY_SEGMENTOR), CLASSES, schedule={'policy': 'fixed'}, **options.pop('model', {}))
    given = Segmentor.losses

    def losses(self: Segmentor, batch: Any) -> Any:
        factor = float('nan') if int(batch['meta'][0]['path'].split('.')[0]) == bad else 1.0
        return {name: value * factor for name, value in given(self, batch).items()}  # type: ignore[operator]

    data: Any = [random_batch(seed=index) for index in range(batches)]
    for index, batch in enumerate(data):
        batch['meta'][0]['path'] = f'{index}.jpg'
    trainer = pl.Trainer(
        accelerator='cpu', logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=1,
        enable_checkpointing=False, default_root_dir=folder, **options,
    )  # fmt: skip
    monkeypatch.setattr(Segmentor, 'losses', losses)
    try:
        trainer.fit(module, DataLoader(data, collate_fn=lambda items: items[0]))
    finally:
        monkeypatch.setattr(Segmentor, 'losses', given)
    return module


@pytest.mark.parametrize(
    ('accumulated', 'bad'), [(1, 3), (2, 4), (2, 5)], ids=['alone', 'first of two', 'second of two']
)
@pytest.mark.parametrize('precision', ['32-true', 'bf16-mixed'])
def test_a_loss_of_nan_leaves_the_weights_of_the_step_before(
    accumulated: int, bad: int, precision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AdamW with weight decay and momentum, which would move the weights even with gradients of zero."""
    options: dict[str, Any] = {'accumulate_grad_batches': accumulated, 'gradient_clip_val': 1.0, 'precision': precision}
    kept = Kept()
    with pytest.raises(TrainingError, match=rf'the loss of step {bad // accumulated} is not finite'):
        trained(tmp_path, monkeypatch, 7, bad, callbacks=[kept], **options)
    before = trained(tmp_path, monkeypatch, bad // accumulated * accumulated, None, **options)
    assert len(kept.weights) == len(list(before.parameters()))
    for name, value in before.named_parameters():
        assert torch.equal(value, kept.weights[name]), name


def test_a_skipped_batch_changes_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.warns(UserWarning, match='Batch 1 skipped'):
        skipped = trained(tmp_path, monkeypatch, 3, 2, model={'non_finite': 'skip'})
    before = trained(tmp_path, monkeypatch, 2, None, model={'non_finite': 'skip'})
    for name, value in before.named_parameters():
        assert torch.equal(value, skipped.get_parameter(name)), name
    assert skipped.skipped == 1


class Own(Segmentor):
    """Trains with steps of its own, on batches of any kind."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.segmentor.decode_head.conv_seg.bias.sum() * batch['factor']


@pytest.mark.parametrize('last', [1.0, float('nan')])
def test_a_step_of_a_subclass_trains_and_is_checked(last: float, tmp_path: Path) -> None:
    module = Own(copy.deepcopy(TINY_SEGMENTOR), CLASSES)
    before = module.segmentor.decode_head.conv_seg.bias.detach().clone()
    trainer = pl.Trainer(
        accelerator='cpu', logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=1,
        enable_checkpointing=False, default_root_dir=tmp_path,
    )  # fmt: skip
    batches = DataLoader[Any](cast(Any, [{'factor': 1.0}, {'factor': last}]), batch_size=None)
    if last == 1.0:
        trainer.fit(module, batches)
    else:
        with pytest.raises(TrainingError, match=r'the loss of step 1 is not finite \(loss nan\); the batch is saved'):
            trainer.fit(module, batches)
        saved = torch.load(module.run_folder / 'non_finite_step_1.pt', weights_only=True)
        assert saved['batch']['factor'] != saved['batch']['factor']
    after = module.segmentor.decode_head.conv_seg.bias
    assert after.isfinite().all()
    assert (after < before).all()
