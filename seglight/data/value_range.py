"""Conversion of images of more than 8 bits to 8 bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.data.arguments import is_list, is_number
from seglight.data.formats import UnreadableError
from seglight.errors import ConfigError

#: Value of `data.image_range`: white, or `[black, white]`, or `{percentiles: [low, high]}`.
RangeSpec = float | list[float] | dict[str, list[float]] | None

KEY = 'data.image_range'


@dataclass(frozen=True)
class ValueRange:
    """The values of an image that become 0 and 255; values between are scaled linearly, others are clipped.

    Attributes:
        low: becomes 0: a value, or a percentile of each image.
        high: becomes 255, likewise.
        percentiles: whether `low` and `high` are percentiles.
    """

    low: float
    high: float
    percentiles: bool = False

    def bounds(self, values: npt.NDArray[Any]) -> tuple[float, float]:
        """Return the values of an image that become 0 and 255."""
        if not self.percentiles:
            return self.low, self.high
        known = values[np.isfinite(values)] if values.dtype.kind == 'f' else values
        if not known.size:
            return 0.0, 1.0
        low, high = np.percentile(known, [self.low, self.high])
        return float(low), float(high)


def parse_range(spec: RangeSpec) -> ValueRange | None:
    """Return the range for `data.image_range`.

    Raises:
        ConfigError: if it is invalid.
    """
    if spec is None:
        return None
    percentiles = isinstance(spec, Mapping)
    if isinstance(spec, Mapping) and set(spec) != {'percentiles'}:
        raise ConfigError(KEY, f'has the keys {sorted(map(str, spec))}, expected percentiles only')
    pair: Any = spec['percentiles'] if isinstance(spec, Mapping) else spec if is_list(spec) else [0, spec]
    is_range = is_list(pair) and len(pair) == 2 and all(is_number(each) for each in pair) and pair[0] < pair[1]
    if not is_range or (percentiles and not 0 <= pair[0] < pair[1] <= 100):
        wanted = 'percentiles: [low, high] from 0 to 100' if percentiles else 'white, or [black, white],'
        raise ConfigError(KEY, f'must be {wanted} with low values first, got {spec!r}')
    return ValueRange(float(pair[0]), float(pair[1]), percentiles)


def range_of(trainer: Any) -> ValueRange | None:
    """Return the value range of a trainer's data module, None if it has none."""
    found = getattr(getattr(trainer, 'datamodule', None), 'value_range', None)
    return found if isinstance(found, ValueRange) else None


def to_8_bits(values: npt.NDArray[Any], value_range: ValueRange | None) -> UInt8Array:
    """Convert the values of an image to 8 bits.

    Args:
        values: `[H, W]` or `[H, W, C]` of any numeric dtype; uint8 is returned unchanged.
        value_range: the values that become 0 and 255. Without it, uint16 is divided by 256, like in OpenCV.

    Raises:
        UnreadableError: for any other dtype without a range.
    """
    if values.dtype == np.uint8:
        return np.asarray(values)
    if value_range is not None:
        return _scaled(values, *value_range.bounds(values))
    if values.dtype == np.uint16:
        return (values >> 8).astype(np.uint8)
    low, high = extent(values)
    raise UnreadableError(
        f'it has {values.dtype} values from {low:.6g} to {high:.6g}; '
        f'set data.image_range to the values of black and white, for example [{low:.6g}, {high:.6g}]'
    )


def extent(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the lowest and highest finite value; 0 if there is none."""
    known = values[np.isfinite(values)] if values.dtype.kind == 'f' else values
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> UInt8Array:
    """Scale the values from low to high to 0 to 255; NaN becomes 0."""
    if values.dtype == np.uint16:  # a table is much faster
        return np.asarray(_table(low, high)[values])
    scaled = (np.nan_to_num(values.astype(np.float64), nan=low) - low) * _factor(low, high)
    return np.asarray(np.rint(np.clip(scaled, 0, 255)), dtype=np.uint8)


def _table(low: float, high: float) -> UInt8Array:
    """Return the 8-bit value for each 16-bit value."""
    values = (np.arange(1 << 16) - low) * _factor(low, high)
    return np.asarray(np.rint(np.clip(values, 0, 255)), dtype=np.uint8)


def _factor(low: float, high: float) -> float:
    """Return the factor that scales a range to 255; 0 for an image of a single value, which becomes black."""
    return 255 / (high - low) if high > low and math.isfinite(high - low) else 0.0
