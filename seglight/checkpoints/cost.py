"""Limit the cost per image of untrusted transforms and windows, based only on their arguments."""

from __future__ import annotations

import math
import re
from typing import Any

#: Limits on the pixels of a side, and of an image.
MOST_SIDE, MOST_AREA = 8192, 1 << 25

#: The minimum stride of windows in pixels, and the maximum number that overlap along a side.
LEAST_STRIDE, MOST_OVERLAP = 8, 8

#: The maximum number of transforms per image, and how many fast ones a slow one counts for.
MOST_RUNS, SLOW = 200, 20
_SLOW = ('ElasticTransform', 'GridElasticDeform', 'PiecewiseAffine', 'Superpixels', 'ThinPlateSpline', 'RandomGravel')

#: The maximum of arguments by their names; the first match decides. Areas are limited separately.
_HIGHEST = (
    (r'iterations', 10),
    (r'n|repeat', 16_384),
    (r'max_pixel_value|max_value|mean|std', 1 << 32),
    (r'src_radius|n_segments', 512),
    (r'blur\w*|\w*_blur|kernel_size|radius|max_delta|sigma\w*|drop_(length|width)', 128),
    (r'grid|grid_yx|holes_number_xy|max_objects|nb_\w+|num_\w+|number_of_\w+|tile_grid_size|shadow_dimension', 64),
    (r'scale|scale_\w+|ratio|ratio_range|max_factor|w2h_ratio|percent', 4),
    (r'max_size|plasma_size', 4096),
    (r'px|padding|\w*divisor', 1024),
    (r'.*', MOST_SIDE),
)

#: The minimum of arguments that divide the work.
_LOWEST = {'step_factor': 0.005}

#: Arguments that together give a height and a width.
_PAIRS = (('height', 'width'), ('min_height', 'min_width'), ('y_max', 'x_max'))
_SIZES = ('size', 'img_scale', 'cell_shape', 'target_size', 'max_size_hw')


def highest(name: str) -> int:
    """Return the maximum of an argument of a transform."""
    return next(maximum for pattern, maximum in _HIGHEST if re.fullmatch(pattern, name))


def transform_fault(arguments: dict[str, Any]) -> tuple[str, str] | None:
    """Return an argument that makes a transform too expensive, and the reason; None if there is none."""
    for name, minimum in _LOWEST.items():
        if any(0 <= number < minimum for number in _numbers(arguments.get(name))):
            return name, f'must be at least {minimum}'
    if arguments.get('mode') == 'exact':  # of GlassBlur: a Python loop over the pixels
        return 'mode', 'must be fast'
    for first, second in _PAIRS:
        sides = [max(_numbers(arguments.get(name)), default=0) for name in (first, second)]
        if math.prod(sides) > MOST_AREA:
            return first, f'times {second} must be at most {MOST_AREA:,} pixels'
    for name in _SIZES:
        value = arguments.get(name)
        pairs = [value, *value] if isinstance(value, (list, tuple)) else []
        if any(len(sides := _numbers(pair)) == 2 and math.prod(sides) > MOST_AREA for pair in pairs):
            return name, f'must be at most {MOST_AREA:,} pixels'
    return None


def runs(spec: Any) -> int:
    """Return how many fast transforms a transform costs at most, including nested and repeated ones."""
    if not isinstance(spec, dict):
        return 1
    inner = spec.get('init_args')
    arguments = {**spec, **(inner if isinstance(inner, dict) else {})}
    times = [arguments.get(name, 1) for name in ('n', 'repeat', 'iterations')]
    parts = arguments.get('transforms')
    total = sum(map(runs, parts)) if isinstance(parts, (list, tuple)) else 0
    name = str(spec.get('type', spec.get('class_path'))).rpartition('.')[2]
    weight = SLOW if name in _SLOW else 1
    return math.prod(max(1, int(value)) for value in times if isinstance(value, (int, float))) * max(weight, total)


def window_fault(test_cfg: dict[str, Any]) -> str | None:
    """Return why a sliding window has too many windows, None if it has not."""
    crop, stride = test_cfg.get('crop_size'), test_cfg.get('stride')
    crops, strides = (value if isinstance(value, (list, tuple)) else [value] for value in (crop, stride))
    for size, step in zip(crops, strides, strict=False):
        if not (isinstance(size, (int, float)) and isinstance(step, (int, float))):
            continue
        if step < LEAST_STRIDE:
            return f'stride must be at least {LEAST_STRIDE}, got {step}'
        if not 0 < size <= MOST_OVERLAP * step:
            return f'crop_size must be at most {MOST_OVERLAP} times the stride, got {size} and {step}'
    return None


def _numbers(value: Any) -> list[float]:
    """Return the numbers in a value that is a number or a list."""
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, (int, float)) and not isinstance(each, bool)]
