"""What hands a checkpoint that was read already over to Lightning's trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Trainer

from seglight.callbacks.checkpoints.atomic import AtomicCheckpointIO
from seglight.checkpoints.checkpoint import Checkpoint


class ReadCheckpointIO(AtomicCheckpointIO):
    """Gives the trainer a checkpoint that was read already, under its path; other files it reads itself.

    Args:
        checkpoint: what is given.
        training: whether the trainer goes on with the run.
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
    """Let a trainer restore a checkpoint that was read already; its own plugin for checkpoints, if any, reads again."""
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = ReadCheckpointIO(checkpoint, training)
