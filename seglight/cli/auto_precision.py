"""`trainer.precision: auto`: mixed precision with bfloat16 where the processor computes in it, else float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_only

from seglight.console import labelled
from seglight.errors import say

#: The value of `trainer.precision`, which Lightning does not know.
AUTO = 'auto'

#: AVX512-BF16 and AMX, which multiply bfloat16, as Linux names them.
_INSTRUCTIONS = ('avx512_bf16', 'amx_bf16')

_CPU_INFO = Path('/proc/cpuinfo')


def chosen_precision(precision: Any, accelerator: Any) -> Any:
    """Return the precision that `auto` stands for on this machine, and print it; other values as they are.

    Args:
        precision: `trainer.precision`.
        accelerator: `trainer.accelerator`.
    """
    if precision != AUTO:
        return precision
    uses_gpu = accelerator != 'cpu' and torch.accelerator.is_available()
    found, kind = (_gpu_has_bfloat16(), 'GPU') if uses_gpu else (_cpu_has_bfloat16(), 'CPU')
    chosen = 'bf16-mixed' if found else '32-true'
    cause = 'has' if found else 'is not known to have'
    rank_zero_only(say)(labelled('Precision', f'{chosen}, since the {kind} {cause} instructions for bfloat16'))
    return chosen


def _gpu_has_bfloat16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 itself; False where Linux does not say so."""
    try:
        words = set(_CPU_INFO.read_text(encoding='utf-8').split())
    except (OSError, UnicodeDecodeError):
        return False
    return not words.isdisjoint(_INSTRUCTIONS)
