"""Where in the training data a run is, in the counting of its own batches."""

from __future__ import annotations

from typing import Any, NamedTuple


class Position(NamedTuple):
    """A point between two batches of training.

    Attributes:
        epoch: that training is in, from 0.
        samples: of this epoch that all processes together have trained on.
        batches: the same in batches of each process.
        of: batches of an epoch.
        batch_size: samples in a batch of each process.
    """

    epoch: int = 0
    samples: int = 0
    batches: int = 0
    of: int = 0
    batch_size: int = 0

    @classmethod
    def stored(cls, state: dict[str, Any], batch_size: int, processes: int, of: int) -> Position:
        """Return what a checkpoint stores; an old one stores epoch and samples alone."""
        samples = state['samples']
        size = state.get('batch_size', batch_size)
        return cls(
            state['epoch'], samples, state.get('batches', samples // (size * processes)), state.get('of', of), size
        )

    def counted_as(self, batch_size: int, processes: int, of: int, accumulated: int) -> Position:
        """Return the same point in other batches, or the nearest before it that is between two optimizer steps.

        Args:
            batch_size: samples in a batch of each process.
            processes: number of training processes.
            of: batches of an epoch; of an epoch that is under way at least one is left, so that it is validated.
            accumulated: batches to an optimizer step.
        """
        samples_each = batch_size * processes
        same = self.of == of and self.samples == self.batches * samples_each
        if self.batches == 0 or (same and (self.batches % accumulated == 0 or self.batches == of)):
            return self._replace(of=of, batch_size=batch_size)
        batches = min(self.samples // samples_each, of - 1)
        batches -= batches % accumulated
        return Position(self.epoch, batches * samples_each, batches, of, batch_size)
