"""Write a checkpoint in the format of another program."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.from_mmseg import SUFFIX
from seglight.checkpoints.plain import save_plain
from seglight.checkpoints.subclass import check_base_predicts
from seglight.config.class_names import OF_DATA
from seglight.config.settings import Settings
from seglight.errors import UsageError
from seglight.files import write_new
from seglight.runtimes.opening import SUFFIXES
from seglight.weight_files import SAFETENSORS

#: The settings of a checkpoint that go into mmseg's config.
NEEDED = (
    *(('model', name) for name in ('segmentor', 'mean', 'std')),
    *(('data', name) for name in (*OF_DATA, 'reduce_zero_label', 'root', 'val', 'img_dir', 'ann_dir')),
    *(('data', name) for name in ('val_transforms', 'image_range')),
)


#: The suffix of each format.
FORMATS = {'mmseg': SUFFIX, 'safetensors': SAFETENSORS, **SUFFIXES}


def chosen_format(given: str | None, target: Path | None) -> Any:
    """Return the format: the given one, that of the file's suffix, or mmseg's."""
    by_suffix = {suffix: name for name, suffix in FORMATS.items()}
    return given or by_suffix.get(target.suffix if target else '', 'mmseg')


def export_plain(name: str | Path, target: str | Path | None = None, trust_checkpoint: bool = False) -> Path:
    """Write the weights of a checkpoint and the settings that predictions need as safetensors, and return the path.

    Args:
        name: the path of a checkpoint, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        target: the file; by default `{checkpoint}.safetensors` next to it.
        trust_checkpoint: let the file name classes of any package, which runs code; only for your own files.

    Raises:
        UsageError: if it exists or has another suffix.
    """
    checkpoint = Checkpoint.find(name, trust_checkpoint)
    target = Path(target or checkpoint.path.with_suffix(SAFETENSORS))
    if target.suffix != SAFETENSORS:
        raise UsageError(f'export: {target} must end with {SAFETENSORS} for --format safetensors')
    if target.exists():
        raise UsageError(f'export: {target} exists; choose another name or remove it')
    save_plain(checkpoint, target)
    return target


def export_checkpoint(
    name: str | Path, target: str | Path | None = None, trust_checkpoint: bool = False
) -> tuple[Path, Path]:
    """Write a checkpoint and a config for mmseg, and return their paths.

    Args:
        name: the path of a checkpoint, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        target: the .pth file; by default `{checkpoint}_mmseg.pth` next to it.
        trust_checkpoint: let the file name classes of any package, which runs code; only for your own files.

    Raises:
        CheckpointError: if there is no such checkpoint, it is an exported file, or it stores no config.
        ConfigError: if mmseg does not support a setting, or the files cannot be written.
    """
    checkpoint = Checkpoint.find(str(name), trust_checkpoint)
    path = checkpoint.path
    checkpoint.require_weights()
    check_base_predicts(checkpoint.entries, path)
    target = Path(target or path.with_name(f'{path.stem}_mmseg{SUFFIX}'))
    if target.suffix != SUFFIX:
        raise UsageError(f'export: {target} must end with {SUFFIX}, as mmseg expects of checkpoints')
    stored = checkpoint.stored()
    unused = [key for key in stored.refused if key not in NEEDED]
    stored.check(Settings(), unused)
    settings = stored.settings
    from seglight.checkpoints.to_mmseg import mmseg_checkpoint, mmseg_config

    config = mmseg_config(settings.values)
    buffer = io.BytesIO()
    torch.save(mmseg_checkpoint(checkpoint.entries, config), buffer)
    try:
        write_new({target.with_suffix('.py'): config.pretty_text.encode(), target: buffer.getvalue()})
    except OSError as error:
        raise UsageError(f'export: {target} cannot be written: {error.strerror}') from error
    return target, target.with_suffix('.py')
