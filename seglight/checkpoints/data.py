"""The data that a checkpoint was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.stored import Purpose
from seglight.config.settings import Key, Settings
from seglight.data import SegmentationDataModule
from seglight.errors import CheckpointError, one_line


def data_of(
    checkpoint: Checkpoint,
    needed: str,
    purpose: Purpose,
    root: str | Path | None = None,
    unused: Iterable[Key] = (),
    **changes: Any,
) -> SegmentationDataModule:
    """Build the data module that a checkpoint describes.

    Args:
        checkpoint: of the run.
        needed: the data and what for, for the error.
        purpose: of the data; what it does not use is not checked.
        root: folder of the data, if it has moved.
        unused: keys that the caller does not use.
        changes: arguments to replace.

    Raises:
        CheckpointError: if the checkpoint describes no data, names a class that it may not, or has an unknown key.
    """
    stored = checkpoint.stored(('data',), purpose=purpose)
    stored.check(Settings({'data': {'root': root}}), unused)
    arguments = stored.settings.values.get('data')
    if not arguments:
        raise CheckpointError(f'{checkpoint} must name {needed}')
    if root:
        changes['root'] = str(root)
    try:
        return SegmentationDataModule(**{**arguments, **changes})
    except TypeError as error:  # a key that it does not have
        raise CheckpointError(f'cannot load the data of {checkpoint}: {one_line(error)}') from error
