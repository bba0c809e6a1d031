"""Write a checkpoint in mmseg's format, with its config next to it.

mmseg's init_segmentor loads both files, its inference_segmentor predicts the same masks, and its
tools/test.py finds the validation images.
"""

from __future__ import annotations

import io
from pathlib import Path

import torch

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.mmseg import SUFFIX
from seglight.config.settings import Settings
from seglight.errors import UsageError
from seglight.files import write_new

#: The settings of a checkpoint that go into mmseg's config.
NEEDED = (
    *(('model', name) for name in ('segmentor', 'mean', 'std')),
    *(
        ('data', name)
        for name in ('classes', 'palette', 'ignore_index', 'reduce_zero_label', 'root', 'val', 'img_dir', 'ann_dir')
    ),
    ('data', 'val_transforms'),
)


def export_checkpoint(
    name: str | Path, target: str | Path | None = None, trust_checkpoint: bool = False
) -> tuple[Path, Path]:
    """Write a checkpoint and a config for mmseg, and return their paths.

    Args:
        name: the path of a checkpoint, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        target: the .pth file; by default `{checkpoint}_mmseg.pth` next to it.
        trust_checkpoint: let the file name classes of any package, which runs code; only for your own files.

    Raises:
        CheckpointError: if there is no such checkpoint, or it stores no config.
        ConfigError: if mmseg does not support a setting, or the files cannot be written.
    """
    checkpoint = Checkpoint.find(str(name), trust_checkpoint)
    path = checkpoint.path
    target = Path(target or path.with_name(f'{path.stem}_mmseg{SUFFIX}'))
    if target.suffix != SUFFIX:
        raise UsageError(f'export: {target} must end with {SUFFIX}, as mmseg expects of checkpoints')
    stored = checkpoint.stored()
    unused = [key for key in stored.refused if key not in NEEDED]
    stored.check(Settings(), unused)
    settings = stored.settings
    from seglight.checkpoints.export import mmseg_checkpoint, mmseg_config

    config = mmseg_config(settings.values)
    buffer = io.BytesIO()
    torch.save(mmseg_checkpoint(checkpoint.entries, config), buffer)
    try:
        write_new({target.with_suffix('.py'): config.pretty_text.encode(), target: buffer.getvalue()})
    except OSError as error:
        raise UsageError(f'export: {target} cannot be written: {error.strerror}') from error
    return target, target.with_suffix('.py')
