"""The position of a run in its training data."""

from __future__ import annotations

from typing import Any, NamedTuple


class Position(NamedTuple):
    """A point between two batches of training.

    Attributes:
        epoch: current epoch, from 0.
        samples: number of samples done in this epoch, over all processes.
        batches: number of batches done in this epoch, in each process.
        of: number of batches in an epoch.
        batch_size: samples in a batch of each process.
    """

    epoch: int = 0
    samples: int = 0
    batches: int = 0
    of: int = 0
    batch_size: int = 0

    @classmethod
    def stored(cls, state: dict[str, Any], batch_size: int, processes: int, of: int) -> Position:
        """Return the position from a checkpoint; old ones store epoch and samples only."""
        samples = state['samples']
        size = state.get('batch_size', batch_size)
        return cls(
            state['epoch'], samples, state.get('batches', samples // (size * processes)), state.get('of', of), size
        )

    def counted_as(self, batch_size: int, processes: int, of: int, accumulated: int) -> Position:
        """Return this position in other batches, moved back to the end of an optimizer step if necessary.

        Args:
            batch_size: samples in a batch of each process.
            processes: number of training processes.
            of: number of batches in an epoch; an unfinished epoch keeps at least one, so that it is validated.
            accumulated: number of batches per optimizer step.
        """
        samples_each = batch_size * processes
        same = self.of == of and self.samples == self.batches * samples_each
        if self.batches == 0 or (same and (self.batches % accumulated == 0 or self.batches == of)):
            return self._replace(of=of, batch_size=batch_size)
        batches = min(self.samples // samples_each, of - 1)
        batches -= batches % accumulated
        return Position(self.epoch, batches * samples_each, batches, of, batch_size)
