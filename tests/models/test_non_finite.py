"""Training steps whose loss is infinite or NaN."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch

from seglight.models import Segmentor
from seglight.models.non_finite import Step


def test_a_step_names_what_is_not_finite_and_saves_its_batch(tmp_path: Path) -> None:
    batch: Any = {'image': torch.ones(1, 3, 2, 2), 'meta': [{'name': 'a'}]}
    items = {'decode.loss_ce': torch.tensor(float('nan')), 'aux.loss_ce': torch.tensor(0.5)}
    step = Step(batch, items, torch.tensor(float('nan')))
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
