"""The models of timm, transformers and smp that a config can name, from a table that `scripts/list_models.py` writes.

Reading it needs none of these libraries.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import NamedTuple

#: The keys that take the names; those in a model dict follow the `type` of their dict.
ZOO_NAME = 'model.zoo'
TIMM_NAME = 'TIMMBackbone.model_name'
HF_NAME = 'HFSegmentor.name'
SMP_ARCHITECTURE = 'SMPSegmentor.arch'
SMP_ENCODER = 'SMPSegmentor.encoder_name'

#: The keys that take the names of each library, in the order of `seglight zoo`.
LIBRARIES = {
    'mmseg': (ZOO_NAME,),
    'timm': (TIMM_NAME,),
    'transformers': (HF_NAME,),
    'smp': (SMP_ARCHITECTURE, SMP_ENCODER),
}


class Model(NamedTuple):
    """A row of the table.

    Attributes:
        key: the key that takes the name.
        name: the value of the key.
        parameters: the number of parameters, None if not counted.
        licence: of the weights as the library or their page states it; empty if neither does.
        weights: where published weights come from, empty without any.
    """

    key: str
    name: str
    parameters: int | None
    licence: str
    weights: str


@cache
def catalogue() -> tuple[Model, ...]:
    """Return the models of timm, transformers and smp, in the order of the table."""
    text = resources.files('seglight').joinpath('config/catalogue.csv').read_text(encoding='utf-8')
    rows = csv.reader(text.splitlines()[1:])
    return tuple(
        Model(key, name, int(count) if count else None, licence, weights) for key, name, count, licence, weights in rows
    )


def names(key: str) -> tuple[str, ...]:
    """Return the names that a key takes."""
    return tuple(model.name for model in catalogue() if model.key == key)
