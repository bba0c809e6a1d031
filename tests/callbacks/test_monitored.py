"""Monitors of metrics that are not logged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.demos.boring_classes import BoringModel

from seglight.callbacks import MonitoredFigures
from seglight.errors import ConfigError

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ('callback', 'monitor', 'nearest'),
    [
        ('EarlyStopping', 'train/los', 'train/loss'),
        ('ModelCheckpoint', 'train/decode.loss_c', 'train/decode.loss_ce'),
        ('EarlyStopping', 'train/aux.acc_sg', 'train/aux.acc_seg'),
        ('ModelCheckpoint', 'train/skiped', 'train/loss'),  # nothing is skipped with non_finite: stop
        ('EarlyStopping', 'epoch', None),
    ],
)
def test_a_training_metric_that_no_step_logs_is_rejected_before_the_run(
    callback: str, monitor: str, nearest: str | None, tiny_config: Path, run: Run
) -> None:
    done = run('fit', '-c', tiny_config, f'--trainer.callbacks+={callback}', f'--trainer.callbacks.monitor={monitor}')
    assert done.status == 2
    hint = f"; did you mean '{nearest}'?" if nearest else ''
    assert f"{callback} has the monitor '{monitor}', which is not logged{hint}; logged are: " in done.err
    assert ('train/decode.loss_ce' in done.err) == monitor.startswith('train/')
    assert 'val/mIoU' in done.err
    assert done.out == ''
    assert not Path('work_dirs').exists()


@pytest.mark.parametrize(
    'monitor', ['train/loss', 'train/decode.loss_ce', 'train/aux.acc_seg', 'train/skipped', 'epoch']
)
def test_training_metrics_can_be_monitored(monitor: str, tiny_config: Path, run: Run) -> None:
    flags = [f'--trainer.callbacks+={name}' for name in ('EarlyStopping', 'ModelCheckpoint')]
    flags = [part for flag in flags for part in (flag, f'--trainer.callbacks.monitor={monitor}')]
    if monitor == 'epoch':
        flags = flags[2:]
    done = run('fit', '-c', tiny_config, *flags, '--model.non_finite=skip', '--trainer.max_epochs=1')
    assert done.status == 0, done.err


def test_a_module_that_does_not_list_its_metrics_is_checked_when_they_are_known(tmp_path: Path) -> None:
    class Logs(BoringModel):
        def validation_step(self, batch: object, batch_idx: int) -> None:
            self.log('val/score', 1.0)

    stopping = EarlyStopping('val/scor')
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=2, limit_train_batches=1, limit_val_batches=1, logger=False,
        callbacks=[MonitoredFigures(), stopping], enable_progress_bar=False, enable_checkpointing=False,
        enable_model_summary=False, num_sanity_val_steps=0, accelerator='cpu',
    )  # fmt: skip
    with pytest.raises(ConfigError, match="'val/scor', which is not logged; did you mean 'val/score'") as error:
        trainer.fit(Logs())
    assert error.value.key == 'trainer.callbacks'
    assert trainer.current_epoch == 0
