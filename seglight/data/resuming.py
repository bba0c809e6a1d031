"""Going on with an epoch in its middle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from seglight.data.dataset import EpochSampler


class ResumableSampler(EpochSampler):
    """An `EpochSampler` that can begin inside an epoch; its length stays that of a whole one, as Lightning counts."""

    _resumed: tuple[int, int] = (-1, 0)

    def go_on(self, epoch: int, samples: int) -> None:
        """Begin with this epoch, from 0, after the samples of this process that are done; later epochs are whole."""
        self._resumed = (epoch, samples)
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # torch's own yields indices too
        """Yield the indices that remain."""
        epoch, samples = self._resumed
        return islice(super().__iter__(), samples if epoch == self.epoch else 0, None)  # type: ignore[arg-type]
