"""How often the host waits for the device in the steady state of training and of validation."""

from __future__ import annotations

import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from sides import seglight_data

from gpu.attempts import attempt
from gpu.lab import Lab
from gpu.results import RIGHT, Row
from gpu.sections.steps import step_model

MODELS = ('pspnet_r50', 'segformer_b0')
FIRST = 5  #: step after which the state is steady

#: Frames that do not say which line of which library waits.
OUTSIDE = (str(Path(torch.__file__).parent), str(warnings.__file__), __file__)


class Waits:
    """Counts the synchronizing calls of the device, each with the line that caused it, between `start` and `stop`."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.places: Counter[str] = Counter()
        self.steps = 0
        self._context = ExitStack()

    def start(self) -> None:
        """Begin to count."""
        if self.device == 'cuda':
            self._context.enter_context(self._reported())

    def stop(self, steps: int) -> None:
        """End counting after a number of steps."""
        self._context.close()
        self.steps = steps

    @property
    def count(self) -> int | None:
        """The number of waits; None on a CPU, which has none."""
        return self.places.total() if self.device == 'cuda' else None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Let torch warn at each synchronizing call, and note its place."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            warnings.filterwarnings('always', message='called a synchronizing CUDA operation')
            warnings.showwarning = self._note
            torch.cuda.set_sync_debug_mode('warn')
            try:
                yield
            finally:
                torch.cuda.set_sync_debug_mode('default')

    def _note(self, *_: Any, **__: Any) -> None:
        frames = [each for each in traceback.extract_stack() if not each.filename.startswith(OUTSIDE)]
        place = frames[-1]
        self.places['/'.join(Path(place.filename).parts[-2:]) + f':{place.lineno}'] += 1


class _Training(pl.Callback):
    """Counts from one step to the last but one, whose end is not yet the end of training."""

    def __init__(self, waits: Waits, last: int) -> None:
        self.waits = waits
        self.last = last

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        del trainer, module, outputs, batch
        if batch_idx == FIRST:
            self.waits.start()
        if batch_idx == self.last:
            self.waits.stop(self.last - FIRST)


class _Validation(pl.Callback):
    """Counts from the end of the second batch to the end of a later one."""

    def __init__(self, waits: Waits, last: int) -> None:
        self.waits = waits
        self.last = last

    def on_validation_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        del trainer, module, outputs, batch, dataloader_idx
        if batch_idx == 1:
            self.waits.start()
        if batch_idx == self.last:
            self.waits.stop(self.last - 1)


def waits(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for training and for validation of each model and precision."""
    del argument
    for model in MODELS[1:] if lab.tiny else MODELS:
        precisions = ('32-true', 'bf16-mixed') if lab.device == 'cpu' else ('32-true', 'bf16-mixed', '16-mixed')
        for precision in precisions[:1] if lab.tiny else precisions:
            name: Row = {'model': model, 'precision': precision}
            yield from attempt(name, partial(_waits_of, lab, model, precision))
            lab.tidy()


def _waits_of(lab: Lab, model: str, precision: Any) -> Iterator[Row]:
    """Train and validate, and yield what was counted."""
    steps = 8 if lab.tiny else 27
    batches = 3 if lab.tiny else 20
    training, validation = Waits(lab.device), Waits(lab.device)
    data = seglight_data(lab.task(model, batch_size=2, crop=min(lab.side, 128), workers=min(2, lab.workers)))
    module = step_model(lab.model(model))
    trainer = pl.Trainer(
        accelerator=lab.device, devices=1, precision=precision, max_steps=steps, limit_val_batches=batches,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, num_sanity_val_steps=0,
        default_root_dir=lab.folder, log_every_n_steps=1000, logger=False,
        callbacks=[_Training(training, steps - 2), _Validation(validation, batches - 1)],
    )  # fmt: skip
    trainer.fit(module, data)
    trainer.validate(module, data, verbose=False)
    for what, found in (('training', training), ('validation', validation)):
        places = ', '.join(f'{place} x{count}' for place, count in found.places.most_common(4))
        row: Row = {'model': model, 'precision': precision, 'what': what, 'steps': found.steps, 'waits': found.count}
        # torch's scaler for float16 reads once in each step whether a gradient is infinite, unless the optimizer is
        # fused; that is no fault.
        required = found.count is not None and not (precision == '16-mixed' and what == 'training')
        yield {**row, 'where': places, RIGHT: found.count == 0 if required else None}
