"""Training steps whose loss is infinite or NaN, and weights that are NaN."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn

from seglight.batch import Batch
from seglight.errors import TrainingError, warn
from seglight.files import write_atomically


class Step(NamedTuple):
    """A training step: its batch, which in a subclass of `Segmentor` may be of any kind, and the items of its loss."""

    batch: Batch | Any
    items: dict[str, Tensor]

    def describe(self) -> str:
        """Return the non-finite items and the names of the images."""
        wrong = ', '.join(f'{name} {float(value)}' for name, value in self.items.items() if not torch.isfinite(value))
        if not isinstance(self.batch, dict) or 'meta' not in self.batch:
            return f'({wrong})'
        return f'({wrong}; images {", ".join(item["name"] for item in self.batch["meta"])})'

    def save(self, folder: Path, number: int, epoch: int) -> TrainingError:
        """Write the batch to `non_finite_step_{number}.pt` in a folder, and return the error to raise."""
        file = folder / f'non_finite_step_{number}.pt'
        buffer = io.BytesIO()
        torch.save({'batch': self.batch, 'step': number, 'epoch': epoch}, buffer)
        write_atomically(file, buffer.getvalue())
        return TrainingError(
            f'the loss of step {number} is not finite {self.describe()}; the batch is saved in {file}; lower the '
            'learning rate, clip gradients, or skip such batches with model.non_finite: skip'
        )


def warn_of_nan(module: nn.Module, state: dict[str, Any], *_: Any) -> None:  # noqa: ARG001  (a hook of torch)
    """Warn of weights that are NaN, before they are loaded: every pixel would be predicted as one class."""
    wrong = [name for name, value in state.items() if isinstance(value, Tensor) and value.isnan().any()]
    if wrong:
        rank_zero_only(warn)(
            f'{len(wrong)} of {len(state)} weights to load contain NaN, first {wrong[0]}: the training has diverged, '
            'so predictions mean nothing; use an earlier checkpoint'
        )
