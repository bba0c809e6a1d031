"""Write a checkpoint as mmseg's own training does, and its config beside it.

mmseg's init_segmentor takes both files, its inference_segmentor predicts the same masks, and its
tools/test.py finds the images of the validation.
"""

from __future__ import annotations

import io
from argparse import ArgumentParser, Namespace
from pathlib import Path

import torch

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.mmseg import SUFFIX
from seglight.config.settings import Settings
from seglight.errors import UsageError
from seglight.files import write_new

#: What of a checkpoint's settings the config for mmseg holds.
NEEDED = (
    *(('model', name) for name in ('segmentor', 'mean', 'std')),
    *(
        ('data', name)
        for name in ('classes', 'palette', 'ignore_index', 'reduce_zero_label', 'root', 'val', 'img_dir', 'ann_dir')
    ),
    ('data', 'val_transforms'),
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoint', help='A path, or relative to work_dirs; the folder of a run means its best.')
    parser.add_argument('target', nargs='?', help='The .pth file, by default {checkpoint}_mmseg.pth beside it.')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='Let the checkpoint, your own, name classes of any package.'
    )
    parser.add_argument('--format', choices=['mmseg'], default='mmseg', help='Whose form; mmseg is the only one.')


def run(arguments: Namespace) -> None:
    """Write the two files.

    Raises:
        CheckpointError: if there is no such checkpoint, or it stores no config.
        ConfigError: if mmseg cannot do what the config says, or the files cannot be written.
    """
    checkpoint = Checkpoint.find(arguments.checkpoint, arguments.trust_checkpoint)
    path = checkpoint.path
    target = Path(arguments.target or path.with_name(f'{path.stem}_mmseg{SUFFIX}'))
    if target.suffix != SUFFIX:
        raise UsageError(f'export: {target} does not end with {SUFFIX}, by which mmseg knows a checkpoint')
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
    print(f'{target}\n{target.with_suffix(".py")}')
