"""Where a run keeps its files."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from pytorch_lightning import Callback, Trainer


@runtime_checkable
class KeepsRun(Protocol):
    """A callback that makes the folder of a run, as `seglight.callbacks.RunFolder` does."""

    @property
    def run_folder(self) -> Path | None:
        """The folder; None before it is made."""


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of a run: that of a callback that makes one, else that of Lightning's log.

    All processes must call this: Lightning broadcasts the folder of the log.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    made = next((callback.run_folder for callback in callbacks if isinstance(callback, KeepsRun)), None)
    return Path(made or trainer.log_dir or trainer.default_root_dir)
