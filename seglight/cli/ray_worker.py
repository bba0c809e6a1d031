"""What a process of a run does that Ray Train has started."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities import rank_zero_only

from seglight.callbacks import StopBySignal
from seglight.cli.command_line import CommandLine
from seglight.errors import SetupError, UserError
from seglight.files import as_bytes, write_atomically
from seglight.trainer_callbacks import callbacks_of, find_callback

#: What each strategy that can run on Ray means for `RayDDPStrategy`.
STRATEGIES: dict[str, dict[str, bool]] = {
    'auto': {},
    'ddp': {},
    'ddp_find_unused_parameters_false': {'find_unused_parameters': False},
    'ddp_find_unused_parameters_true': {'find_unused_parameters': True},
}


class Exchange:
    """The files by which the command and the processes of a run on Ray speak with each other.

    Attributes:
        out: what rank 0 prints to stdout.
        err: what it prints to stderr.
        stop: exists when the run should save and end.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.out, self.err, self.stop = (self.folder / name for name in ('out.log', 'err.log', 'stop'))
        self._error, self._words = self.folder / 'error.json', self.folder / 'words.json'

    def give(self, words: Sequence[str]) -> None:
        """Keep the command line for the processes: Ray would show it, with its passwords, if it were an argument."""
        self._words.touch(0o600)
        self._words.write_text(json.dumps(list(words)))

    def words(self) -> list[str]:
        """Return the command line."""
        return list(json.loads(self._words.read_text()))

    def fail(self, error: UserError, rank: int) -> None:
        """Keep an error that another start would meet again."""
        text = f'rank {rank} on {socket.gethostname()}: {error}' if rank else str(error)
        write_atomically(self._error, as_bytes(json.dumps({'text': text, 'status': error.status})))

    def error(self) -> UserError | None:
        """Return the error that ended the run."""
        if not self._error.is_file():
            return None
        kept = json.loads(self._error.read_text())
        error = UserError(kept['text'])
        error.status = kept['status']
        return error


def run(places: dict[str, str]) -> None:
    """Train in a process of Ray Train; after an error of the user, a second start ends at once.

    Args:
        places: `folder`, the working folder, and `exchange`, that of an `Exchange`, which all processes see.
    """
    from ray import train

    exchange, rank = Exchange(places['exchange']), train.get_context().get_world_rank()
    if exchange.error():
        return
    # Lightning sets it only with its trainer; each process would print the lines before it.
    rank_zero_only.rank = rank  # type: ignore[attr-defined]
    for name in [name for name in os.environ if name.startswith('SLURM_')]:
        del os.environ[name]  # they describe the job in which Ray was started
    with _printing(exchange, rank):
        try:
            _enter(places['folder'])
            WorkerCommandLine(exchange.words(), exchange)
        except UserError as error:
            exchange.fail(error, rank)
            raise


def _enter(folder: str) -> None:
    """Change to the working folder of the command.

    Raises:
        SetupError: if this machine does not have it.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise SetupError(f'{folder}: {error.strerror}; all machines must see the folder of the command') from error


@contextmanager
def _printing(exchange: Exchange, rank: int) -> Iterator[None]:
    """Write what rank 0 prints to the files of an exchange, and discard what the others print."""
    out, err = (exchange.out, exchange.err) if rank == 0 else (Path(os.devnull), Path(os.devnull))
    with (
        out.open('a', buffering=1) as stdout,
        err.open('a', buffering=1) as stderr,
        redirect_stdout(stdout),
        redirect_stderr(stderr),
    ):
        yield


class WorkerCommandLine(CommandLine):
    """The command line of `fit` in a process of Ray Train.

    Args:
        words: the command line.
        exchange: the files of the run.
    """

    def __init__(self, words: list[str], exchange: Exchange) -> None:
        self.exchange = exchange
        super().__init__(words)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with Ray's strategy, which finds the other processes."""
        from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment

        if not issubclass(RayDDPStrategy, DDPStrategy):
            raise SetupError('Ray uses the package lightning, and seglight pytorch-lightning: uninstall lightning')
        options = STRATEGIES[self.config_init['fit'].trainer.strategy]
        strategy, plugins = RayDDPStrategy(**options), [RayLightningEnvironment()]
        trainer = super().instantiate_trainer(**kwargs, strategy=strategy, plugins=plugins)
        callbacks_of(trainer).insert(0, StopByFile(self.exchange.stop))
        return trainer


class StopByFile(Callback):
    """Ends a run between two steps when a file appears; threads, in which Ray Train trains, receive no signals.

    Args:
        file: the file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Look for the file in rank 0."""
        stop = find_callback(trainer, StopBySignal)
        if trainer.is_global_zero and stop and self.file.exists():
            stop.receive(signal.SIGTERM)
