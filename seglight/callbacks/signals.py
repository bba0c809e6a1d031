"""End a run between two steps after a signal."""

from __future__ import annotations

import signal
import sys
import threading
from functools import partial
from types import FrameType
from typing import Any, NoReturn

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.checkpoints.interval import IntervalCheckpoint
from seglight.callbacks.processes import Vote, gathered
from seglight.callbacks.slurm import requeue, requeue_signal
from seglight.errors import Interrupted


class StopBySignal(Callback):
    """On SIGINT or SIGTERM, finishes the step and a running validation, saves a checkpoint, and ends the run.

    An `IntervalCheckpoint` writes the checkpoint; without one, nothing is saved. Before the first step, for example in
    Lightning's finders, SIGTERM ends the run at once, since there is nothing to save. The epoch that
    `StochasticWeightAveraging` adds for BatchNorm is a single step. A second SIGINT ends the run at once.

    In a SLURM job, SIGUSR1 does the same, and rank 0 requeues the job. Lightning's own handler would save in the middle
    of a step, requeue, and train on.

    Raises:
        Interrupted: after the checkpoint is written, or before the first step.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._requeue: signal.Signals | None = None  # asks to requeue a SLURM job
        self._leads = True  # whether this process is rank 0
        self._starting = False  # whether the run is before its first step
        self._stop = Vote()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Handle signals that would otherwise end the process without a message; Lightning keeps these handlers."""
        if stage == 'fit' and threading.current_thread() is threading.main_thread():
            self._starting, self._requeue, self._leads = True, requeue_signal(trainer), trainer.is_global_zero
            self._before = {number: signal.signal(number, self._end_early) for number in self._ends()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Handle all signals in place of Lightning, which would end the run before the step is logged."""
        self._received, self._starting, self._stop = None, False, Vote()
        # Lightning's would wait for all processes in every step, for the signals that are handled here.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # type: ignore[method-assign]
        if threading.current_thread() is not threading.main_thread():  # which receives all signals
            return
        note = partial(self._note, trainer)
        self._before = {number: signal.signal(number, note) for number in (signal.SIGINT, *self._ends())} | self._before

    def receive(self, received: signal.Signals) -> None:
        """End the run after its step, as after a signal: for a run in a thread, which receives none."""
        self._received = received

    def _ends(self) -> list[signal.Signals]:
        """Return the signals that other programs send to end a run."""
        return [signal.SIGTERM, *([self._requeue] if self._requeue else [])]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and end the run if any process received a signal, unless accumulated gradients await a step.

        With several processes it takes one step more until all know of it.
        """
        if batch_idx % trainer.accumulate_grad_batches:
            return
        if self._stop.any(self._received is not None):
            self._end(trainer)

    def _end(self, trainer: Trainer) -> NoReturn:
        """Save, requeue a SLURM job if any process was asked to, and end the run.

        Raises:
            Interrupted: after the checkpoint is written.
        """
        received = [each for each in gathered(self._received) if each]
        try:
            interrupt(trainer, (self._received or received[0]).name, 'resume with --auto-resume')
        except Interrupted:
            if self._requeue in received:
                if trainer.is_global_zero:
                    requeue()
                gathered(None)  # srun may end all processes as soon as one of them ends
            raise

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Restore the previous signal handlers."""
        self._starting = False
        if stage != 'fit':
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restore the previous signal handlers."""
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
        """End a run before its first step; SLURM ends the other processes of a job that rank 0 requeued.

        After the run, Lightning installs this handler again; it then passes the signal on to the previous handler.

        Raises:
            Interrupted: if the run is before its first step.
        """
        received = signal.Signals(number)
        if self._starting and received is self._requeue:
            if not self._leads:
                return
            requeue()
        if self._starting:
            raise Interrupted(f'stopped by {received.name} before its first step; start again with --auto-resume')
        signal.signal(received, self._before[received])
        signal.raise_signal(received)


def _nothing() -> None:
    """Take the place of a method."""


def interrupt(trainer: Trainer, cause: str, advice: str) -> NoReturn:
    """Save a checkpoint between two steps, and end the run.

    Args:
        trainer: the trainer, before the first batch of the next step.
        cause: what stops the run.
        advice: how to resume from the checkpoint.

    Raises:
        Interrupted: after the checkpoint is written.
    """
    message = f'stopped by {cause} after step {trainer.global_step}'
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, IntervalCheckpoint) and callback.save(trainer, interrupted=True):
            message += f'; saved {callback.best_model_path}, {advice}'
    raise Interrupted(message)
