"""Writing checkpoints so that a file is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO

from seglight.errors import CheckpointError, one_line


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name beside it, flushes it to the disk, then renames it.

    Unlike Lightning's own, which builds the whole file in memory first and does not flush. The zip that
    `torch.save` writes holds a CRC-32 of each record, which `Checkpoint.verify` compares.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: if it cannot be written; what was there before is as it was.
        """
        target = Path(path)
        temporary = temporary_name(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open('wb') as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _flush_folder(target.parent)
        except (OSError, RuntimeError) as error:  # torch's zip writer turns the former into the latter
            temporary.unlink(missing_ok=True)
            cause = error if isinstance(error, OSError) else error.__context__
            reason = cause.strerror if isinstance(cause, OSError) else one_line(error)
            raise CheckpointError(
                f'{target} cannot be written: {reason}; the checkpoints before it are as they were'
            ) from error
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def temporary_name(target: Path) -> Path:
    """Return the name that a checkpoint has while it is written; one that was left over is written again."""
    return target.with_name(f'.{target.name}.part')


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
