"""Callbacks in a Lightning project that uses nothing else from seglight."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.demos.boring_classes import BoringModel, RandomDataset
from torch.utils.data import DataLoader

from seglight.callbacks import (
    AveragedAtEnd,
    BestCheckpoint,
    EpochLines,
    ExactResume,
    IntervalCheckpoint,
    KeepTime,
    LearningRates,
    MonitoredFigures,
    RunFolder,
    StopBySignal,
    TrainedUntilAveraged,
    TrainingPlan,
)


class Noisy(BoringModel):
    """A model that draws random numbers and logs a score, with the same data in each run."""

    def __init__(self) -> None:
        super().__init__()
        self.data = DataLoader(RandomDataset(32, 3), generator=torch.Generator())

    def train_dataloader(self) -> Any:
        return self.data

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return super().training_step(batch + torch.rand_like(batch), batch_idx)

    def on_validation_epoch_end(self) -> None:
        self.log('val/score', float(self.trainer.current_epoch))


def fit(folder: Path, epochs: int, resume: Path | None = None) -> dict[str, Any]:
    seed_everything(1)
    callbacks: list[Callback] = [
        RunFolder('a: 1', folder=str(folder), resumed=resume is not None), EpochLines(), EMAWeightAveraging(), ExactResume(),
        StopBySignal(), KeepTime(), TrainedUntilAveraged(), AveragedAtEnd(), TrainingPlan(), LearningRates(),
        MonitoredFigures(), BestCheckpoint('score'), IntervalCheckpoint(),
    ]  # fmt: skip
    options: dict[str, Any] = {'enable_progress_bar': False, 'enable_model_summary': False, 'limit_val_batches': 1}
    trainer = Trainer(
        accelerator='cpu', max_epochs=epochs, callbacks=callbacks, limit_train_batches=3, logger=False, **options
    )
    trainer.fit(Noisy(), ckpt_path=resume, weights_only=True)
    entries: dict[str, Any] = torch.load(folder / f'epoch_{epochs}.ckpt', weights_only=True)
    return entries


def test_a_run_is_resumed_bit_by_bit(tmp_path: Path) -> None:
    whole = fit(tmp_path / 'whole', 3)
    fit(tmp_path / 'stopped', 2)
    resumed = fit(tmp_path / 'stopped', 3, resume=tmp_path / 'stopped/epoch_2.ckpt')
    assert all(torch.equal(value, resumed['state_dict'][name]) for name, value in whole['state_dict'].items())
    assert {path.name for path in (tmp_path / 'stopped').glob('*.ckpt')} == {
        *(f'epoch_{epoch}.ckpt' for epoch in (1, 2, 3)), 'best_score_epoch_3.ckpt', 'last.ckpt',
    }  # fmt: skip
