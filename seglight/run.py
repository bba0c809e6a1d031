"""The folder of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from seglight.trainer_callbacks import callbacks_of

if TYPE_CHECKING:
    from pytorch_lightning import Trainer

#: The files in the folder with the resolved config, and with the command line and the versions of packages.
CONFIG, ENVIRONMENT = 'config.yaml', 'environment.yaml'


@runtime_checkable
class KeepsRun(Protocol):
    """A callback that creates the folder of a run, for example `seglight.callbacks.RunFolder`."""

    @property
    def run_folder(self) -> Path | None:
        """The folder; None before it is created."""


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of a run, from a callback that creates one, or else from Lightning's logger.

    All processes must call this, since Lightning broadcasts the logger's folder.
    """
    folder = next((callback.run_folder for callback in callbacks_of(trainer) if isinstance(callback, KeepsRun)), None)
    return Path(folder or trainer.log_dir or trainer.default_root_dir)
