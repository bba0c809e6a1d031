"""The weights of several inputs that vote or are averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence


def vote_weights(weights: Sequence[float] | None, count: int) -> list[float] | None:
    """Return one weight per input, equal by default; None unless all are positive and finite."""
    weights = [1.0] * count if weights is None else list(weights)
    valid = len(weights) == count and all(0 < weight < math.inf for weight in weights)  # false for NaN
    return weights if valid else None
