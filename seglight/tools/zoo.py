"""List the models that a config can name: mmsegmentation's, and those of timm, transformers and smp.

Each table is headed by the key that takes the names of its first column. A line shows the parameters in millions, the
published mIoU in percent, the licence of the weights as its publisher states it, and where the weights come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any, NamedTuple

import yaml

from seglight.config.catalogue import LIBRARIES, ZOO_NAME, catalogue
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.mmseg.zoo import zoo_names
from seglight.console import tabulated
from seglight.errors import UsageError
from seglight.similar import nearest


class Entry(NamedTuple):
    """A line of the list.

    Attributes:
        key: the key that takes the name.
        name: its value.
        parameters: the number of parameters, of an mmseg model with the config's own classes; None if not counted.
        miou: the published mIoU in percent, None if the index has none.
        licence: of the weights, empty if unknown.
        weights: where they come from, empty if there are none.
    """

    key: str
    name: str
    parameters: int | None
    miou: float | None = None
    licence: str = ''
    weights: str = ''


def find_models(pattern: str = '', libraries: Sequence[str] = tuple(LIBRARIES)) -> list[Entry]:
    """Return the models whose names match.

    Args:
        pattern: part of a name, or a pattern such as `*r50*ade20k`, in any case; all match an empty one.
        libraries: names in `LIBRARIES`.

    Raises:
        UsageError: if none matches; names the nearest.
    """
    glob = (pattern if any(sign in pattern for sign in '*?[') else f'*{pattern}*').lower()
    keys = [key for library in libraries for key in LIBRARIES[library]]
    others = [Entry(each.key, each.name, each.parameters, None, each.licence, each.weights) for each in catalogue()]
    configs = zoo_names() if ZOO_NAME in keys else []
    found = entries([name for name in configs if fnmatchcase(name.lower(), glob)])
    found += [entry for entry in others if entry.key in keys and fnmatchcase(entry.name.lower(), glob)]
    if not found:
        named = [*configs, *(entry.name for entry in others if entry.key in keys)]
        words = {word for name in named for word in (name, name.partition('/')[0], name.partition('.')[0])}
        *first, last = libraries
        subject = f'{", ".join(first)} and {last} have' if first else f'{last} has'
        raise UsageError(f"zoo: {subject} no model like '{pattern}'{nearest(pattern, words)}")
    return found


def entries(names: list[str]) -> list[Entry]:
    """Return the entries of mmseg's models, from its model index and the table of parameter counts."""
    index = _index({name.split('/')[0] for name in names})
    counts = parameter_counts()
    found = []
    for name in names:
        miou, weights = index.get(name, (None, None))
        found.append(Entry(ZOO_NAME, name, counts.get(name), miou, weights=weights or ''))
    return found


def parameter_counts() -> dict[str, int]:
    """Return the number of parameters of each model of mmseg, as counted by `scripts/count_parameters.py`."""
    text = resources.files('seglight').joinpath('tools/zoo_parameters.csv').read_text()
    rows = (line.split(',') for line in text.splitlines()[1:])
    return {name: int(count) for name, count in rows}


def _index(families: set[str]) -> dict[str, tuple[float | None, str | None]]:
    """Return the published mIoU and the checkpoint URL of each config of some families in mmseg's model index."""
    found: dict[str, tuple[float | None, str | None]] = {}
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    for family in sorted(families):
        for path in (zoo_folder() / family).glob('*.yml'):
            models = yaml.load(path.read_text(encoding='utf-8'), loader)['Models']
            for model in models:
                name = model['Config'].removeprefix('configs/').removesuffix('.py')
                found.setdefault(name, (_miou(model), model.get('Weights')))
    return found


def _miou(model: dict[str, Any]) -> float | None:
    """Return the mIoU of one entry of the index."""
    results = model.get('Results') or []
    figures = [result.get('Metrics', {}).get('mIoU') for result in results]
    return next((float(figure) for figure in figures if figure is not None), None)


def tables(found: Sequence[Entry]) -> list[str]:
    """Return the lines of a table with a head for each key, with an empty line between two tables."""
    keys = dict.fromkeys(entry.key for entry in found)
    parts = ['\n'.join(_table(key, [entry for entry in found if entry.key == key])) for key in keys]
    return '\n\n'.join(parts).splitlines()


def _table(key: str, found: Sequence[Entry]) -> list[str]:
    """Return the table of one key; columns without any value are left out."""
    heads = (key, 'params', 'mIoU', 'licence', 'weights')
    rows = [heads, *(_cells(entry) for entry in found)]
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    right = [at for at, column in enumerate(columns) if column[0] in ('params', 'mIoU')]
    return tabulated([*zip(*columns, strict=True)], right, gap='   ')


def _cells(entry: Entry) -> tuple[str, ...]:
    count = '' if entry.parameters is None else f'{entry.parameters / 1e6:.1f} M'
    miou = '' if entry.miou is None else f'{entry.miou:.2f}'
    return entry.name, count, miou, entry.licence, entry.weights
