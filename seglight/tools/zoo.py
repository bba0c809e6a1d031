"""List the mmsegmentation models that --model.zoo accepts.

Each line shows the name, the parameters in millions, the published mIoU in percent, and the URL of the
checkpoint.
"""

from __future__ import annotations

from fnmatch import fnmatch
from importlib import resources
from typing import Any, NamedTuple

import yaml

from seglight.config.mmseg.zoo import zoo_folder, zoo_names
from seglight.config.settings import nearest
from seglight.errors import UsageError


class Entry(NamedTuple):
    """A line of the list.

    Attributes:
        name: the value for `--model.zoo`.
        parameters: the number of parameters with the config's own classes, None if not counted.
        miou: the published mIoU in percent, None if the index has none.
        weights: the URL of the checkpoint, None if there is none.
    """

    name: str
    parameters: int | None
    miou: float | None
    weights: str | None


def find_models(pattern: str = '') -> list[Entry]:
    """Return the models whose names match.

    Args:
        pattern: part of a name, or a pattern such as `*r50*ade20k`; all match an empty one.

    Raises:
        UsageError: if none matches.
    """
    glob = pattern if any(sign in pattern for sign in '*?[') else f'*{pattern}*'
    names = zoo_names()
    found = [name for name in names if fnmatch(name, glob)]
    if not found:
        words = {part for name in names for part in (name.split('/')[0], name)}
        raise UsageError(f"zoo: mmseg has no model like '{pattern}'{nearest(pattern, words)}")
    return entries(found)


def entries(names: list[str]) -> list[Entry]:
    """Return the entries of models, from mmseg's model index and the table of parameter counts."""
    index = _index({name.split('/')[0] for name in names})
    counts = parameter_counts()
    return [Entry(name, counts.get(name), *index.get(name, (None, None))) for name in names]


def parameter_counts() -> dict[str, int]:
    """Return the number of parameters of each model, as counted by `scripts/count_parameters.py`."""
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


def table(found: list[Entry]) -> list[str]:
    """Return the list as a table with a head."""
    width = max(len(entry.name) for entry in found)
    lines = [f'{"name":<{width}}  params     mIoU   checkpoint']
    for entry in found:
        count = '' if entry.parameters is None else f'{entry.parameters / 1e6:.1f} M'
        miou = '' if entry.miou is None else f'{entry.miou:.2f}'
        lines.append(f'{entry.name:<{width}}  {count:>7}  {miou:>6}   {entry.weights or "-"}')
    return lines
