"""The mean and standard deviation of the images that a model takes."""

from __future__ import annotations

import math

from seglight.errors import ConfigError
from seglight.models.adapters import hf_config, timm
from seglight.models.recipe import Recipe

IMAGENET_MEAN = [123.675, 116.28, 103.53]
IMAGENET_STD = [58.395, 57.12, 57.375]

Numbers = list[float]


def normalisation(recipe: Recipe, mean: Numbers | None, std: Numbers | None) -> tuple[Numbers, Numbers]:
    """Return RGB mean and standard deviation in 0 to 255.

    Args:
        recipe: of the model.
        mean: as configured, or None for that of the published model, else of ImageNet.
        std: likewise.

    Raises:
        ConfigError: if they are not three numbers each, finite, and those of `std` above 0.
    """
    if mean is None or std is None:
        own = hf_config.normalisation(recipe.parts[0]) or timm.normalisation(recipe.model.get('backbone'))
        own = own or (IMAGENET_MEAN, IMAGENET_STD)
        mean, std = mean or own[0], std or own[1]
    for name, values in (('mean', mean), ('std', std)):
        minimum = 0 if name == 'std' else -math.inf
        if len(values) != 3 or not all(minimum < value < math.inf for value in values):
            above = ', each above 0' if name == 'std' else ''
            raise ConfigError(f'model.{name}', f'must be three numbers, for red, green and blue{above}, got {values}')
    return [*mean], [*std]
