"""The config that a checkpoint stores, which makes it complete in itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight.config.files import parse_yaml
from seglight.config.settings import Settings
from seglight.errors import CheckpointError

#: The entry of a checkpoint that holds the resolved config of its run, as YAML text.
CONFIG_ENTRY = 'config'

#: The parts of that config that another command starts from.
PARTS = ('model', 'data', 'seed_everything')


def find_checkpoint(name: str, work_dirs: Path) -> Path:
    """Return the file that `name` means: a path, or else a file below `work_dirs`.

    The folder of a run means its best checkpoint, or its newest where there is no best one.

    Raises:
        CheckpointError: if there is none.
    """
    for path in (Path(name), work_dirs / name):
        if path.is_file():
            return path
        for pattern in ('best_*.ckpt', '*.ckpt'):
            found = sorted(path.glob(pattern), key=lambda file: file.stat().st_mtime)
            if found:
                return found[-1]
    near = sorted(path.name for path in (work_dirs / name).parent.glob('*.ckpt'))
    there = f'; that folder holds {", ".join(near)}' if near else ''
    raise CheckpointError(f"Checkpoint '{name}' was not found, neither as a path nor in {work_dirs}{there}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's entries without running any code from it; tensors stay on disk until used.

    Raises:
        CheckpointError: if the file is no checkpoint, is damaged, or would need code to be loaded.
    """
    import torch  # late: `--help` and config errors do not need it

    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except Exception as error:  # torch raises many kinds for a file that is not one of its own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f'{path} is not a checkpoint that can be loaded safely: {reason}') from error
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise CheckpointError(f'{path} is not a checkpoint of seglight: it has no state_dict')
    return checkpoint


def stored_settings(path: Path, required: bool = True) -> Settings:
    """Return the model and data settings that a checkpoint was trained with.

    Raises:
        CheckpointError: if the checkpoint stores none and they are required.
    """
    text = read_checkpoint(path).get(CONFIG_ENTRY)
    if text is None and not required:
        return Settings()
    if not isinstance(text, str):
        raise CheckpointError(f'{path} stores no config; give the one it was trained with as --config')
    stored = parse_yaml(text, str(path))
    values = {name: stored.values[name] for name in PARTS if name in stored.values}
    return Settings(values, {key: origin for key, origin in stored.origins.items() if key[0] in values})
