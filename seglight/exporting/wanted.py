"""What to export: format, size, output and precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from seglight.array_types import Size
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import UsageError
from seglight.exporting.graph import Output
from seglight.exporting.sizes import Padding
from seglight.extras import import_extra
from seglight.installation import requirements
from seglight.runtimes.opening import SUFFIXES, files

Format = Literal['onnx', 'torch', 'openvino']

#: What each format needs, besides what seglight always has; its extra has its name.
PACKAGES: dict[Format, tuple[str, ...]] = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'torch': (),
    'openvino': ('onnx', 'onnxscript', 'openvino'),
}

#: The first release whose `torch.export` traces a model for images of any size.
FIRST_TORCH = '2.9'


@dataclass(frozen=True)
class Wanted:
    """What to export.

    Attributes:
        format: of the file.
        size: height and width of the only images that it takes; None for any.
        output: logits or masks.
        half: compute in float16.
        int8: quantise to 8 bits.
        allow_differences: keep the file even if its masks differ.
    """

    format: Format
    size: Size | None = None
    output: Output = 'logits'
    half: bool = False
    int8: bool = False
    allow_differences: bool = False

    @property
    def precision(self) -> Literal['float32', 'float16', 'int8']:
        """The precision of weights and features."""
        return 'int8' if self.int8 else 'float16' if self.half else 'float32'


def target_of(checkpoint: Checkpoint, wanted: Wanted, given: str | Path | None) -> Path:
    """Return the file to write.

    Raises:
        UsageError: if it exists, its folder does not, or it has another suffix than its format.
        CheckpointError: if the checkpoint is itself an exported file.
    """
    checkpoint.require_weights()
    suffix = SUFFIXES[wanted.format]
    target = Path(given) if given else checkpoint.path.with_suffix(suffix)
    if target.suffix != suffix:
        raise UsageError(f'export: {target} must end with {suffix} for --format {wanted.format}')
    if not target.parent.is_dir():  # before a translation that takes minutes
        raise UsageError(f'export: the folder {target.parent} does not exist')
    for each in files(target):
        if each.exists():
            raise UsageError(f'export: {each} exists; choose another name or remove it')
    return target


def can_trace() -> bool:
    """Return whether the installed torch traces models for images of any size."""
    return requirements.is_within(torch.__version__, FIRST_TORCH, requirements.TORCH[1])


def check(wanted: Wanted) -> None:
    """Refuse options that exclude each other, a torch that cannot trace, and a format whose packages are missing.

    Raises:
        UsageError: names the options, or the torch to install.
        ConfigError: names the package and its extra.
    """
    if not can_trace():
        suitable = f"'torch>={FIRST_TORCH},<{requirements.TORCH[1]}' torchvision"
        raise UsageError(f'export: torch must be >={FIRST_TORCH}, got {torch.__version__}; run: pip install {suitable}')
    if wanted.half and wanted.int8:
        raise UsageError('export: --half and --int8 cannot be combined')
    if wanted.int8 and wanted.format == 'torch':
        raise UsageError('export: --int8 needs --format onnx or openvino')
    for package in PACKAGES[wanted.format]:
        import_extra(package, wanted.format, f'export --format {wanted.format}')
    if wanted.int8:
        import_extra('onnxruntime', 'onnx', 'export --int8')


def check_size(wanted: Wanted, padding: Padding) -> None:
    """Refuse a size that the model does not take.

    Raises:
        UsageError: if it is too large.
    """
    size, fixed = wanted.size, padding.fixed
    if size and fixed and (size[0] > fixed[0] or size[1] > fixed[1]):
        raise UsageError(
            f'export: --size must be at most {fixed[0]} {fixed[1]}, the size that the model takes, '
            f'got {size[0]} {size[1]}'
        )


def as_size(sides: Sequence[int] | None) -> Size | None:
    """Return `--size` as a size.

    Raises:
        UsageError: for a side below 1.
    """
    if sides is None:
        return None
    if min(sides) < 1:
        raise UsageError(f'export: --size must be a height and a width of at least 1, got {" ".join(map(str, sides))}')
    return sides[0], sides[1]
