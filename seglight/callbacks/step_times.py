"""Time and memory of the first steps of a run."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.files import as_bytes, write_atomically
from seglight.process_memory import available_bytes, peak_bytes, reset_peak


class StepTimes(Callback):
    """Writes how long training and validation batches take, and how much memory they need, as JSON.

    The time of a batch is that since the end of the one before, so it includes waiting for the loader. For any
    Lightning project; made for `trainer.fast_dev_run`.

    Args:
        file: the file to write at the end of the first epoch.
        warmup: batches of each stage that are not counted, unless there are no others.
    """

    def __init__(self, file: str, warmup: int = 1) -> None:
        self.file = file
        self.warmup = warmup
        self._moments: dict[str, list[float]] = {'train': [], 'val': []}
        self._free = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the peak of memory start anew."""
        if pl_module.device.type == 'cuda':
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(pl_module.device)
        else:
            reset_peak()
        self._free = _free(pl_module.device)
        self._note('train', pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Note the time."""
        self._note('train', pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the time."""
        self._moments['val'].clear()  # of a validation before the training
        self._note('val', pl_module)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Note the time."""
        self._note('val', pl_module)

    def _note(self, stage: str, module: LightningModule) -> None:
        if module.device.type == 'cuda':
            torch.cuda.synchronize(module.device)
        self._moments[stage].append(time.perf_counter())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file."""
        device = pl_module.device
        found = {
            'train': self._times('train'),
            'val': self._times('val'),
            'bytes': torch.cuda.max_memory_reserved(device) if device.type == 'cuda' else peak_bytes(),
            'free': self._free,
            'processes': trainer.world_size,
            'on_gpu': device.type == 'cuda',
        }
        if trainer.is_global_zero:
            write_atomically(Path(self.file), as_bytes(json.dumps(found)))

    def _times(self, stage: str) -> list[float]:
        moments = self._moments[stage]
        times = [end - start for start, end in itertools.pairwise(moments)]
        return times[self.warmup :] or times[-1:]


def _free(device: torch.device) -> float:
    """Return the bytes that training can use on a device."""
    if device.type == 'cuda':
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device))
    return available_bytes()
