"""Lightning's plugin that reads and writes checkpoints, but with atomic writes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lightning_fabric.plugins import TorchCheckpointIO

from seglight.weight_files import write_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically (see `write_checkpoint`).

    Lightning's own plugin builds the whole file in memory first, and does not flush it to the disk.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: if it cannot be written; an existing file stays unchanged.
        """
        write_checkpoint(checkpoint, Path(path))
