"""Add to checkpoints what Lightning leaves out, so that a resumed run matches an uninterrupted one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.seed import _collect_rng_states, _set_rng_states
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.processes import gathered
from seglight.callbacks.restoring import (
    Patience,
    averaging_rates,
    begin_epoch_again,
    check_after_validation,
    keep_patience,
    move_schedules,
    patience,
    plan_again,
    recounted,
    without_finders,
)
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError, say
from seglight.files import resumable
from seglight.steps import epoch_is_cut, resumes, steps_before

#: The entry of a checkpoint that holds what this callback restores.
ENTRY = 'exact_resume'


class ExactResume(Callback):
    """Stores and restores random states, the loops' counters between two steps, and the latest metrics.

    Lightning restores weights, optimizer, schedule, precision, callbacks, and the counters as of the end of an epoch or
    a validation. This callback adds the random states of Python, numpy, torch and CUDA of every process. It also
    corrects the counters of a checkpoint written in `on_train_batch_start`, so that the batch is not counted, and
    restores what Lightning's own callbacks do not (see `seglight.callbacks.restoring`). The data module's `state_dict`
    holds the position in the data; the randomness of a sample depends only on seed, epoch and index.

    This callback must come after the callbacks that it restores. Data loaders must have their own generator, since a
    new iterator would otherwise draw from torch's random state.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] = {}
        self._patience: Patience = {}
        self._rates: list[float] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the states; all processes call this, one writes."""
        entry: dict[str, Any] = {
            'random_states': gathered(_random_state()),
            'world_size': trainer.world_size,
            'steps_of_epoch': steps_before(trainer, 1),
            'stopped': trainer.should_stop,
        }
        loops = checkpoint['loops']['fit_loop']
        epochs, batches = loops['epoch_progress']['current'], loops['epoch_loop.batch_progress']
        epoch_ended = epochs['processed'] == epochs['started']
        before_batch = batches['current']['ready'] == batches['current']['started'] + 1
        if before_batch:
            for count in (batches['current'], batches['total']):
                count['ready'] -= 1
            batches['is_last_batch'] = False  # describes the next batch
        elif epoch_is_cut(trainer):
            for count in (epochs, loops['epoch_progress']['total']):
                count['processed'] -= 1
        elif epoch_ended and trainer.max_steps != -1:
            _begin_next_epoch(loops)
        if before_batch or epoch_ended:
            entry['steps_logged'] = trainer.fit_loop.epoch_loop._batches_that_stepped
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        checkpoint[ENTRY] = {**entry, 'figures': figures}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make each validation count once for early stopping."""
        if stage == 'fit':
            check_after_validation(trainer)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the states for the first batch, and convert the count of batches to this run's batches."""
        self._restored = checkpoint.get(ENTRY, {})
        if not (self._restored and resumes(trainer)):
            return
        messages = [*recounted(trainer, checkpoint, self._restored), *without_finders(trainer, pl_module)]
        if trainer.is_global_zero and messages:
            say('\n'.join(messages))
        self._patience = patience(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the metrics of the last validation, and skip the sanity check, which the original run passed."""
        if self._restored:
            trainer.num_sanity_val_steps = 0
            figures = self._restored['figures']
            trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})
            keep_patience(trainer, self._patience, self._restored.get('stopped', False))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the schedule to the run's position, and repeat what callbacks did at the start of this epoch."""
        plan_again(trainer)
        if not (self._restored and resumes(trainer)):
            return
        epochs: Any = trainer.fit_loop.epoch_progress.current
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        in_epoch = epochs.started > epochs.processed
        if trainer.max_steps == -1 and self._restored.get('steps_of_epoch') not in (None, steps_before(trainer, 1)):
            move_schedules(trainer, steps_before(trainer, epochs.processed, batches.processed if in_epoch else 0))
        self._rates = averaging_rates(trainer)
        if in_epoch:
            begin_epoch_again(trainer, pl_module)
            self._set_rates(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the learning rates that a callback for weight averaging changes during its setup."""
        self._set_rates(trainer)

    def _set_rates(self, trainer: Trainer) -> None:
        rates, self._rates = self._rates, None
        if rates is not None:
            for group, rate in zip(trainer.optimizers[0].param_groups, rates, strict=True):
                group['lr'] = rate

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Restore the random states, now that only training draws from them."""
        if not self._restored:
            return
        states, self._restored = self._restored, {}
        if 'steps_logged' in states:
            trainer.fit_loop.epoch_loop._batches_that_stepped = states['steps_logged']
        if states['world_size'] == trainer.world_size:
            _restore_random_state(states['random_states'][trainer.global_rank])


def newest_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """Return a run's newest intact checkpoint, or None, and an error message for each damaged one that is newer.

    In any Lightning project: `trainer.fit(module, ckpt_path=newest_checkpoint(folder)[0])`.
    """
    checkpoint, faults = newest_intact(folder)
    return checkpoint.path if checkpoint else None, faults


def newest_intact(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return what `newest_checkpoint` does, but the checkpoint as an object, already read."""
    paths = [path for path in resumable(folder) if path.is_file()]
    faults: list[str] = []
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        checkpoint = Checkpoint(path)
        try:
            checkpoint.verify()
        except CheckpointError as error:
            faults.append(str(error))
        else:
            return checkpoint, faults
    return None, faults


def _begin_next_epoch(loops: dict[str, Any]) -> None:
    """Turn the counters at the end of an epoch into those at the start of the next, from which Lightning resumes."""
    epochs, batches = loops['epoch_progress'], loops['epoch_loop.batch_progress']
    for count in (epochs['current'], epochs['total']):
        count['completed'] = count['processed']
    batches['current'] = dict.fromkeys(batches['current'], 0)
    batches['is_last_batch'] = False


def _random_state() -> dict[str, Any]:
    """Return the random states of this process, as tensors, numbers and text only."""
    states = _collect_rng_states()
    name, keys, *rest = states['numpy']
    return {**states, 'numpy': (name, torch.from_numpy(keys.astype(np.int64)), *rest)}


def _restore_random_state(states: dict[str, Any]) -> None:
    """Set the random states of this process."""
    name, keys, *rest = states['numpy']
    _set_rng_states({**states, 'numpy': (name, keys.numpy().astype(np.uint32), *rest)})
