"""Convert the weights of a backbone, as published by its authors or timm, to mmseg's keys.

Without a target, the weights go to a cache, which configs refer to as weights://NAME, for example
model.segmentor.pretrained: weights://swin_tiny_patch4_window7_224.pth.
"""

from __future__ import annotations

import hashlib
import io
import shlex
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import safetensors.torch
import torch
from torch import Tensor

from seglight.arrays import ERRORS, load_arrays
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.convert import FAMILIES, TIMM, Converted, convert
from seglight.errors import CheckpointError, UsageError, one_line
from seglight.files import WEIGHTS_SCHEME, cache_dir, weights_folder, write_new
from seglight.weight_files import SAFETENSORS, state_dict


def convert_file(family: str, source: str | Path, target: str | Path | None = None) -> tuple[Converted, Path]:
    """Convert a file, and return the converted weights and the path of the new file.

    Args:
        family: a name in `FAMILIES`, or `timm` to detect the family.
        source: a path or a URL.
        target: a .pth or .safetensors file; by default in the cache of `weights://`.

    Raises:
        CheckpointError: if the source cannot be read, or is not of the given family.
        UsageError: if the target cannot be written.
    """
    if family not in (*FAMILIES, TIMM):
        raise UsageError(f"convert: unknown family '{family}'; choose one of {', '.join((*FAMILIES, TIMM))}")
    try:
        address = urlparse(str(source))
    except ValueError as error:
        raise UsageError(f'convert: {source} is neither a path nor a URL: {one_line(error)}') from error
    path = Path(download(str(source)) if address.scheme in ('http', 'https') else source)
    target = Path(target or weights_folder() / f'{Path(address.path).stem}.pth')
    if target.suffix not in ('.pth', SAFETENSORS):
        raise UsageError(f'convert: {target} must end with .pth or {SAFETENSORS}')
    converted = convert(family, read_weights(path), str(path))
    try:
        write_new({target: _file(converted.weights, target)})
    except OSError as error:
        raise UsageError(f'convert: {target} cannot be written: {error.strerror}') from error
    return converted, target


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights in a file of any supported format.

    Raises:
        CheckpointError: if there is no such file, or it contains no weights.
    """
    if not path.is_file():
        raise CheckpointError(f'{path} {"is not a regular file" if path.exists() else "was not found"}')
    if path.suffix != '.npz':
        return state_dict(Checkpoint(path, mapped=True).contents(), path)
    try:
        arrays = load_arrays(path, 20 * path.stat().st_size + (64 << 20))  # weights hardly compress
        return {name: torch.from_numpy(array) for name, array in arrays.items()}
    except ERRORS as error:
        raise CheckpointError(f'{path} cannot be read as a NumPy file: {one_line(error)[:100]}') from error


def download(address: str) -> str:
    """Download a file, unless it is in the cache, and return its path.

    Raises:
        CheckpointError: if the download fails.
    """
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    path = cache_dir() / 'downloads' / digest / Path(urlparse(address).path).name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path), progress=False)  # renames the complete file
        except (OSError, ValueError, HTTPException) as error:
            raise CheckpointError(f'{address} cannot be downloaded: {one_line(error)}') from error
    return str(path)


def _file(weights: dict[str, Tensor], target: Path) -> bytes:
    """Return the contents of a weights file in the format of the target's suffix."""
    weights = {name: value.detach().contiguous().clone() for name, value in weights.items()}
    if target.suffix == SAFETENSORS:
        return safetensors.torch.save(weights)
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    return buffer.getvalue()


def summary(converted: Converted, target: Path, cached: bool) -> list[str]:
    """Return the summary of a conversion."""
    count = sum(value.numel() for value in converted.weights.values() if value.is_floating_point())
    plan = FAMILIES[converted.family]
    lines = [f'{converted.family}: {len(converted.weights)} keys, {count / 1e6:.2f} M values for {plan.backbone}']
    for title, keys in (('dropped', converted.left_out), ('initial values', converted.initial)):
        if keys:
            shown = ', '.join(sorted(keys)[:3]) + ', ...' * (len(keys) > 3)
            lines.append(f'{title}: {len(keys)} keys ({shown})')
    lines.append(str(target))
    if cached:
        lines.append(f'in a config: --model.segmentor.pretrained={shlex.quote(WEIGHTS_SCHEME + target.name)}')
    return lines
