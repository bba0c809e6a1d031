"""The times that a run of any project writes."""

import json
import time
from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from seglight.callbacks.step_times import StepTimes


class Sleeper(LightningModule):
    """Sleeps longer in its first batch of each stage."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        time.sleep(0.2 if batch_idx == 0 else 0.03)
        return self.weight.sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        time.sleep(0.2 if batch_idx == 0 else 0.01)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_the_first_batches_are_not_counted(tmp_path: Path) -> None:
    file = tmp_path / 'times.json'
    loader: DataLoader[torch.Tensor] = DataLoader(torch.zeros(5, 1))  # type: ignore[arg-type]
    trainer = Trainer(accelerator='cpu', fast_dev_run=4, callbacks=[StepTimes(str(file))], enable_progress_bar=False)
    trainer.fit(Sleeper(), loader, loader)
    found = json.loads(file.read_text())
    assert len(found['train']) == len(found['val']) == 3
    assert 0.03 <= min(found['train']) <= max(found['train']) < 0.2
    assert 0.01 <= min(found['val']) <= max(found['val']) < 0.2
    assert found['processes'] == 1
    assert not found['on_gpu']
    assert found['bytes'] > 0
    assert found['free'] > 0
