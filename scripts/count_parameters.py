"""Count the parameters of every mmseg model and write seglight/tools/zoo_parameters.csv; takes about a minute."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.zoo import find_zoo, zoo_names
from seglight.files import write_atomically
from seglight.models.recipe import Recipe

TABLE = Path(__file__).parents[1] / 'seglight' / 'tools' / 'zoo_parameters.csv'


@contextmanager
def without_memory() -> Iterator[None]:
    """Build models on the meta device; stochastic depth reads its rates from a linspace, which has no values there."""
    with torch.device('meta'), mock.patch('torch.linspace', partial(torch.linspace, device='cpu')):
        yield


def parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def count(model: dict[str, Any]) -> int:
    """Return the number of parameters of an mmseg model dict with its own classes, without allocating memory."""
    recipe = Recipe(model).without_pretrained()
    num_classes = next(part.values['num_classes'] for part in recipe.parts if 'num_classes' in part.values)
    with without_memory():
        segmentor = recipe.for_data(num_classes).construct()
    return parameters(segmentor)


def main() -> None:
    """Write the table."""
    warnings.simplefilter('ignore')
    lines = ['name,parameters']
    for name in zoo_names():
        model = read_mmseg_config(find_zoo(name))['model']
        lines.append(f'{name},{count(model)}')
    write_atomically(TABLE, ('\n'.join(lines) + '\n').encode())


if __name__ == '__main__':
    main()
