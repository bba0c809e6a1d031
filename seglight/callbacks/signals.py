"""Ending a run between two steps when a signal asks for it."""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.checkpoints.interval import IntervalCheckpoint
from seglight.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopBySignal(Callback):
    """Finishes the step, and the validation, when SIGINT or SIGTERM comes, saves, and ends the run.

    The checkpoint is written by an `IntervalCheckpoint`; without one, nothing is saved. Before the first step, while
    one of Lightning's finders tries some, SIGTERM ends the run at once: there is nothing to save. With
    `StochasticWeightAveraging`, the epoch that it adds for BatchNorm is one step. A second SIGINT ends the run at once.
    The signal by which SLURM asks to requeue a job is left to Lightning's own environment for SLURM.

    Raises:
        Interrupted: when the checkpoint is written, or before the first step.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._starts = False  # whether the run is before its first step

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen for what would end the process without a word."""
        if stage == 'fit' and threading.current_thread() is threading.main_thread():
            self._starts = True
            self._before = {signal.SIGTERM: signal.signal(signal.SIGTERM, self._end_early)}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, in place of Lightning, which would end the run before the step is logged."""
        self._received, self._starts = None, False
        note = partial(self._note, trainer)
        self._before = {number: signal.signal(number, note) for number in SIGNALS} | self._before

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and end, if a signal came to any process; with gradients accumulated, after the optimizer's step."""
        if batch_idx % trainer.accumulate_grad_batches:
            return
        if trainer.strategy.reduce_boolean_decision(self._received is not None, all=False):
            interrupt(trainer, (self._received or signal.SIGTERM).name, 'resume with --auto-resume')

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen no more."""
        self._starts = False
        if stage != 'fit':
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self.teardown(trainer, pl_module, 'fit')

    def _note(self, trainer: Trainer, number: int, frame: FrameType | None) -> None:
        """Note the signal; a second SIGINT ends the run.

        Raises:
            KeyboardInterrupt: for the second SIGINT.
        """
        received = signal.Signals(number)
        if received is signal.SIGINT and self._received is signal.SIGINT:
            raise KeyboardInterrupt
        self._received = received
        hint = ' (Ctrl-C again ends at once)' if received is signal.SIGINT else ''
        whole = 1 < trainer.num_training_batches <= trainer.accumulate_grad_batches
        unit = 'epoch' if whole else 'step'
        print(f'seglight: {received.name}: finishing the {unit}, then saving{hint}', file=sys.stderr)

    def _end_early(self, number: int, frame: FrameType | None) -> None:
        """End a run that has taken no step.

        Raises:
            Interrupted: unless the run is over; Lightning brings this handler back then.
        """
        received = signal.Signals(number)
        if self._starts:
            raise Interrupted(f'stopped by {received.name} before its first step; start again with --auto-resume')
        signal.signal(received, self._before[received])
        signal.raise_signal(received)


def interrupt(trainer: Trainer, cause: str, advice: str) -> NoReturn:
    """Save a checkpoint of this point between two steps, and end the run.

    Args:
        trainer: before the batch that begins the next step.
        cause: what stops the run.
        advice: how to go on from the checkpoint.

    Raises:
        Interrupted: when the checkpoint is written.
    """
    message = f'stopped by {cause} after step {trainer.global_step}'
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, IntervalCheckpoint) and callback.save(trainer, interrupted=True):
            message += f'; saved {callback.best_model_path}, {advice}'
    raise Interrupted(message)
