"""The weights of several inputs that vote or are averaged."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

#: Weights up to two to this power are used as given.
MAX_EXPONENT = 32


def vote_weights(weights: Sequence[float] | None, count: int) -> list[float] | None:
    """Return one weight per input, equal by default; None unless all are positive and finite, and without inputs.

    Very large or small ones are scaled by a common power of two, so that their sums do not overflow, in float32 too.
    """
    weights = [1.0] * count if weights is None else list(weights)
    largest = sys.float_info.max  # a whole number may be larger, and NaN is not below it
    if not weights or len(weights) != count or not all(0 < weight <= largest for weight in weights):
        return None
    exponent = math.frexp(max(weights))[1]
    return weights if abs(exponent) <= MAX_EXPONENT else [math.ldexp(weight, -exponent) for weight in weights]
