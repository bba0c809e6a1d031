"""Training steps whose loss is infinite or NaN."""

from pathlib import Path
from typing import Any

import torch

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
