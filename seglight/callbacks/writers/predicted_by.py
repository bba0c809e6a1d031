"""Record how a folder of predictions was made, and lock it, so that runs do not mix different predictions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.writers.base import OTHER_FOLDER, PredictionWriter
from seglight.errors import UsageError
from seglight.files import write_atomically, writing_to
from seglight.parts import FACTS
from seglight.plain_text import load_yaml, read_text
from seglight.report.run import first_difference
from seglight.run_lock import PREDICTS, RunLock
from seglight.trainer_callbacks import callbacks_of

#: Facts of files that one of two runs may not write; they are None then, and the other's count.
OUTPUTS = ('probabilities', 'submission_size', 'submission_format', 'pseudo_labels')


class PredictedBy(Callback):
    """Records in the folder how its predictions were made, and locks it. This callback must come before the writers.

    The time of the file is the start of the first run with its facts: writers take no older file for one of theirs.

    Args:
        folder: the folder of `predicted_by.yaml`.
        facts: plain values: the checkpoint, and the options that affect its predictions.
        resume: whether this run adds to the predictions in the folder.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], resume: bool) -> None:
        self.path = folder / FACTS
        self.facts = facts
        self.resume = resume
        self._lock: RunLock | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the lock and write the file, on rank 0.

        Raises:
            UsageError: if another process predicts into the folder, or the run would resume predictions made
                differently.
        """
        if stage != 'predict':
            return
        if trainer.is_global_zero:
            with writing_to(self.path.parent, OTHER_FOLDER):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(self.path.parent, use=PREDICTS, option='--output')
            self._lock.acquire()
        goes_on = self.resume and self.path.is_file()
        if goes_on:
            earlier = load_yaml(read_text(self.path, errors='replace'), str(self.path))
            known = earlier if isinstance(earlier, dict) else {}
            for name in OUTPUTS:
                if self.facts.get(name) is None:
                    self.facts[name] = known.get(name)
                elif known.get(name) is None:
                    known[name] = self.facts[name]
            differing = [_key(name, known.get(name), new) for name, new in self.facts.items() if known.get(name) != new]
            if differing:
                raise UsageError(
                    f'{self.path.parent} contains predictions made with a different {", ".join(differing)} (see '
                    f'{self.path.name}); remove --resume, or choose another --output'
                )
        since = trainer.strategy.broadcast(self._write(goes_on) if trainer.is_global_zero else 0)
        for writer in callbacks_of(trainer):
            if isinstance(writer, PredictionWriter):
                writer.since = since

    def _write(self, goes_on: bool) -> int:
        """Write the file; return its time, which stays that of the first run if this one goes on with it."""
        with writing_to(self.path.parent, OTHER_FOLDER):
            started = self.path.stat().st_mtime_ns if goes_on else None
            write_atomically(self.path, yaml.safe_dump(self.facts).encode())
            if started is not None:
                os.utime(self.path, ns=(started, started))
            return self.path.stat().st_mtime_ns

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Release the folder for other runs."""
        self._release()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Release the folder for other runs."""
        self._release()

    def _release(self) -> None:
        if self._lock:
            self._lock.release()


def _key(name: str, old: Any, new: Any) -> str:
    """Return the dotted key of the first value of a fact that differs."""
    changed = first_difference({name: old}, {name: new})
    return changed[0] if changed else name
