"""Pass a checkpoint that is already read to Lightning's trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Trainer

from seglight.callbacks.checkpoints.atomic import AtomicCheckpointIO
from seglight.checkpoints.checkpoint import Checkpoint


class ReadCheckpointIO(AtomicCheckpointIO):
    """Returns a checkpoint that is already read for its path; reads other files as usual.

    Args:
        checkpoint: the checkpoint.
        training: whether the trainer resumes the run.
    """

    def __init__(self, checkpoint: Checkpoint, training: bool) -> None:
        super().__init__()
        self.checkpoint = checkpoint
        self.training = training

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return the entries of a checkpoint."""
        if Path(path) == self.checkpoint.path:
            return self.checkpoint.hand_over(self.training)
        return super().load_checkpoint(path, *arguments, **options)


def restore_from(trainer: Trainer, checkpoint: Checkpoint, training: bool) -> None:
    """Make a trainer restore a checkpoint without reading it again, unless the user gave a plugin for checkpoints."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = ReadCheckpointIO(checkpoint, training)
