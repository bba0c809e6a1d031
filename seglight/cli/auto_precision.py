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

#: Instructions of x86 processors that multiply bfloat16, as Linux names them.
_INSTRUCTIONS = ('avx512_bf16', 'amx_bf16')

_CPU_INFO = Path('/proc/cpuinfo')


def trainer_arguments(trainer: Any) -> dict[str, str]:
    """Return the precision that `auto` stands for on this machine; nothing for other values.

    Args:
        trainer: the arguments of Lightning's `Trainer`.
    """
    if trainer.precision != AUTO:
        return {}
    has_bfloat16 = _gpu_has_bfloat16() if _uses_gpu(trainer.accelerator) else _cpu_has_bfloat16()
    precision = 'bf16-mixed' if has_bfloat16 else '32-true'
    cause = 'the processor computes in bfloat16' if has_bfloat16 else 'the processor has no instructions for bfloat16'
    rank_zero_only(say)(labelled('Precision', f'{precision}, since {cause}'))
    return {'precision': precision}


def _uses_gpu(accelerator: Any) -> bool:
    return accelerator != 'cpu' and torch.accelerator.is_available()


def _gpu_has_bfloat16() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bfloat16() -> bool:
    """Return whether the CPU multiplies bfloat16 itself; False where Linux does not say so."""
    try:
        words = set(_CPU_INFO.read_text(encoding='utf-8').split())
    except (OSError, UnicodeDecodeError):
        return False
    return not words.isdisjoint(_INSTRUCTIONS)
