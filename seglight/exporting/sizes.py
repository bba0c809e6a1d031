"""How a segmentor's images are padded, as a rule that a graph for images of any size can contain."""

from __future__ import annotations

from dataclasses import dataclass

from seglight import compat  # noqa: F401  (first: mmseg imports mmcv, which imports torchvision)

# isort: split
import torch
from mmseg.models.segmentors import BaseSegmentor

from seglight.array_types import Size
from seglight.models.fitting import DIVISORS, ODD, fixed_size, min_side, takes


@dataclass(frozen=True)
class Padding:
    """The rule by which `seglight.models.fitting.call_padded` pads images.

    Attributes:
        divisor: sides are padded to a multiple of it.
        minimum: the minimum side. A few pixels smaller can also work without padding (`min_side` is a multiple of 16);
            in a graph those images are padded, too.
        fixed: height and width that all images are padded to, None if the segmentor takes several sizes.
    """

    divisor: int = 1
    minimum: int = 1
    fixed: Size | None = None

    def side(self, length: int, axis: int) -> int:
        """Return the padded length of a side; in a traced graph, both are symbols.

        Args:
            length: without padding.
            axis: 0 for the height, 1 for the width.
        """
        if self.fixed:
            return self.fixed[axis]
        if self.minimum > self.divisor:
            length = torch.sym_max(length, self.minimum)
        return parts(length, self.divisor) * self.divisor if self.divisor > 1 else length


def parts(length: int, side: int) -> int:
    """Return into how many parts of a side a length is divided, the last of which may be shorter; also of symbols.

    ONNX rounds the quotient of a negative number up, so that `-(-length // side)` is wrong there.
    """
    return (length + side - 1) // side


def padding_of(segmentor: BaseSegmentor) -> Padding:
    """Return how the images of a segmentor in eval mode are padded."""
    like = torch.empty(1, 3, 1, 1)
    fixed = fixed_size(segmentor)
    if fixed and not takes(segmentor, like, ODD):
        return Padding(fixed=fixed)
    minimum = 1 if takes(segmentor, like, (1, 1)) else min_side(segmentor, like)
    sides = {each: _odd_multiple(each, max(*ODD, minimum)) for each in (1, *DIVISORS)}
    divisor = next((each for each, side in sides.items() if takes(segmentor, like, (side, side))), DIVISORS[-1])
    return Padding(divisor, max(minimum, divisor))


def _odd_multiple(divisor: int, least: int) -> int:
    """Return a side of at least `least` that is no multiple of a higher power of two than the divisor."""
    return divisor * (-(-least // divisor) | 1)
