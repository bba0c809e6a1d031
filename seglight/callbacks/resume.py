"""What Lightning leaves out of a checkpoint, so that a run goes on as if it had never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric.utilities.seed import _collect_rng_states, _set_rng_states
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.checkpoint import RESUMABLE
from seglight.callbacks.checkpoint_io import verify
from seglight.callbacks.processes import gathered
from seglight.errors import CheckpointError

#: The entry of a checkpoint that holds what this callback restores.
ENTRY = 'exact_resume'


class ExactResume(Callback):
    """Stores and restores the random states, the counters of the loops between two steps, and the known figures.

    Lightning restores weights, optimizer, schedule, precision, callbacks, and counters as they are at
    the end of an epoch or of a validation. This adds the states of python's, numpy's, torch's and
    CUDA's random numbers of every process, and makes a checkpoint that is written in
    `on_train_batch_start` one of the moment before the batch. The position in the data is the data
    module's (its `state_dict`); the randomness of a sample depends on seed, epoch and index alone.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] = {}

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the states; all processes come here, one writes."""
        entry: dict[str, Any] = {'random_states': gathered(_random_state()), 'world_size': trainer.world_size}
        loops = checkpoint['loops']['fit_loop']
        epochs, batches = loops['epoch_progress']['current'], loops['epoch_loop.batch_progress']
        epoch_ended = epochs['processed'] == epochs['started']
        before_batch = batches['current']['ready'] == batches['current']['started'] + 1
        if before_batch:
            for count in (batches['current'], batches['total']):
                count['ready'] -= 1
            batches['is_last_batch'] = False  # said of the batch that is to come
        elif epoch_ended and trainer.max_steps != -1:
            _begin_next_epoch(loops)
        if before_batch or epoch_ended:
            entry['steps_logged'] = trainer.fit_loop.epoch_loop._batches_that_stepped
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        checkpoint[ENTRY] = {**entry, 'figures': figures}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the states for the first batch, and the place in the epoch where there are as many processes.

        With another number of processes the batches that are done are counted anew by their images, and the order of
        those that follow is another.
        """
        self._restored = checkpoint.get(ENTRY, {})
        processes = self._restored.get('world_size', trainer.world_size)
        if self._restored and processes != trainer.world_size:
            done = checkpoint['loops']['fit_loop']['epoch_loop.batch_progress']['current']
            done.update({name: count * processes // trainer.world_size for name, count in done.items()})
            if trainer.is_global_zero:
                print(
                    f'The checkpoint is of a run with {processes} processes, this one has {trainer.world_size}: '
                    'samples come in another order, and random numbers differ, than in a run that was never stopped',
                    flush=True,
                )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring back the figures of the last validation; the model was tried on some batches when the run began."""
        if self._restored:
            trainer.num_sanity_val_steps = 0
            figures = self._restored['figures']
            trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Bring back the random states, when nothing but training draws from them any more."""
        if not self._restored:
            return
        states, self._restored = self._restored, {}
        if 'steps_logged' in states:
            trainer.fit_loop.epoch_loop._batches_that_stepped = states['steps_logged']
        if states['world_size'] == trainer.world_size:
            _restore_random_state(states['random_states'][trainer.global_rank])


def newest_checkpoint(folder: Path) -> tuple[Path | None, list[str]]:
    """Return the newest checkpoint of a run that is whole, None where there is none, and what is wrong with newer ones.

    In any Lightning project: `trainer.fit(module, ckpt_path=newest_checkpoint(folder)[0])`.
    """
    found = {path for pattern in RESUMABLE for path in folder.glob(pattern) if path.is_file()}
    faults: list[str] = []
    for path in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            verify(path)
        except CheckpointError as error:
            faults.append(str(error))
        else:
            return path, faults
    return None, faults


def _begin_next_epoch(loops: dict[str, Any]) -> None:
    """Turn counters of an epoch's end into those of the next one's start, from which Lightning can count steps."""
    epochs, batches = loops['epoch_progress'], loops['epoch_loop.batch_progress']
    for count in (epochs['current'], epochs['total']):
        count['completed'] = count['processed']
    batches['current'] = dict.fromkeys(batches['current'], 0)
    batches['is_last_batch'] = False


def _random_state() -> dict[str, Any]:
    """Return the random states of this process, of tensors, numbers and text alone."""
    states = _collect_rng_states()
    name, keys, *rest = states['numpy']
    return {**states, 'numpy': (name, torch.from_numpy(keys.astype(np.int64)), *rest)}


def _restore_random_state(states: dict[str, Any]) -> None:
    """Set the random states of this process."""
    name, keys, *rest = states['numpy']
    _set_rng_states({**states, 'numpy': (name, keys.numpy().astype(np.uint32), *rest)})
