"""How precisely a device multiplies float32 matrices."""

from __future__ import annotations

from typing import Literal

import torch

#: `highest` multiplies in float32, `high` in TF32 and `medium` in bfloat16, where the device can.
MatmulPrecision = Literal['highest', 'high', 'medium']


class ChosenMatmulPrecision:
    """Sets the precision of the whole process for the duration of a stage.

    Args:
        precision: None to leave torch's setting unchanged.
    """

    def __init__(self, precision: MatmulPrecision | None) -> None:
        self.precision = precision
        self._before: str | None = None

    def set(self) -> None:
        """Set the precision, and remember the one before."""
        if self.precision is not None and self._before is None:
            self._before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(self.precision)

    def restore(self) -> None:
        """Set the precision from before `set`."""
        if self._before is not None:
            torch.set_float32_matmul_precision(self._before)
            self._before = None
