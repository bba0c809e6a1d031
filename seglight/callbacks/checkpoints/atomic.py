"""Lightning's plugin for checkpoints, atomic."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO

from seglight.weight_files import write_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint whole or not at all, see `write_checkpoint`.

    Unlike Lightning's own, which builds the whole file in memory first and does not flush.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: if it cannot be written; an earlier file of that name is unchanged.
        """
        write_checkpoint(checkpoint, Path(path))
