"""The reference of the config, from the signatures and docstrings of the classes that its groups build."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
import docstring_parser
from pytorch_lightning import Trainer

from seglight.callbacks import BestCheckpoint, IntervalCheckpoint, TestTimeAugmentation, WandbRun
from seglight.data import SegmentationDataModule, augmentations, photometric
from seglight.data.mixing import MIXES
from seglight.data.sources import SOURCES
from seglight.data.splits import Split
from seglight.models import Segmentor

INTRODUCTION = """# The config

Each group of a config builds a class; its keys are the arguments of that class, with their defaults. `seglight
fit --config FILE --print_config` prints the values of all keys. How configs inherit from each other: [Write
configs](../how-to/configs.md).

| key | type | default | |
|---|---|---|---|
| `seed_everything` | `bool or int` | `42` | seed of weights, sample order and augmentations; true draws one |
"""

#: The groups of a config and the classes that they build.
GROUPS = {
    'model': Segmentor,
    'data': SegmentationDataModule,
    'trainer': Trainer,
    'checkpoint': IntervalCheckpoint,
    'best_checkpoint': BestCheckpoint,
    'wandb': WandbRun,
}

#: Classes that a config names by `type`, or builds from one key, below the key that holds them.
PARTS: dict[str, list[type]] = {
    'data.train, data.val, data.test': list(SOURCES.values()),
    'data.split': [Split],
    'data.mixes': list(MIXES.values()),
    'data.train_transforms': [
        augmentations.KeepRatioResize,
        augmentations.CatMaxRatioCrop,
        augmentations.RareClassCrop,
        augmentations.PadTo,
        photometric.PhotoMetricDistortion,
    ],
    'trainer.callbacks': [TestTimeAugmentation],
}

#: Keys that the command line adds to `model`.
ADDED = {
    'model': [
        ('zoo', 'str', 'null', 'name of a config of mmseg, or the path of a `.py` file, that fills `model.segmentor`'),
        ('zoo_schedule', 'bool or str', 'null', 'the same for optimizer, schedule and length; true means `model.zoo`'),
    ]
}

Row = tuple[str, str, str, str]


def page() -> str:
    """Return the page."""
    sections = [INTRODUCTION]
    for group, cls in GROUPS.items():
        rows = [*rows_of(cls), *ADDED.get(group, [])]
        sections.append(f'## {group}\n\n{summary(cls)}\n\n{table(rows, f"{group}.")}')
    sections.append(
        '## Classes in a config\n\nA dict with `type` builds one of these; its other keys are the arguments.'
    )
    for key, classes in PARTS.items():
        for cls in classes:
            name = cls.__name__
            sections.append(f'### {name} in {key}\n\n{summary(cls)}\n\n{table(rows_of(cls))}')
    return '\n\n'.join(sections) + '\n'


def rows_of(cls: Any) -> Iterator[Row]:
    """Yield name, type, default and description of each argument of the class `cls`.

    Raises:
        ValueError: if an argument of a class of this project is not described.
    """
    texts = descriptions(cls)
    hints = typing.get_type_hints(cls.__init__)
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name not in texts and cls.__module__.startswith('seglight'):
            raise ValueError(f'{cls.__name__} does not describe its argument {name}')
        required = parameter.default is parameter.empty
        default = 'required' if required else written(parameter.default)
        yield name, readable(hints.get(name, '')), default, texts.get(name, '')


def descriptions(cls: Any) -> dict[str, str]:
    """Return the description of each argument in the docstrings of a class and its bases, nearest first."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for text in (base.__doc__, base.__init__.__doc__):
            for parameter in docstring_parser.parse(text or '').params:
                found[parameter.arg_name] = plain(parameter.description or '')
    return found


def summary(cls: Any) -> str:
    """Return the first line of a class's docstring."""
    return docstring_parser.parse(inspect.getdoc(cls) or inspect.getdoc(cls.__init__) or '').short_description or ''


def plain(text: str) -> str:
    """Return a description in one line, without the markup of Sphinx."""
    text = re.sub(r':\w+:`~?([^`]*)`', lambda match: f'`{match[1].rsplit(".", 1)[-1]}`', text)
    return ' '.join(text.replace('``', '`').replace('\n', ' ').split())


def readable(hint: object) -> str:
    """Return a type in a short form, with `or` for unions and `null` for None."""
    text = hint if isinstance(hint, str) else inspect.formatannotation(hint)
    text = re.sub(r'\b(?:\w+\.)+(\w+)', r'\1', text)
    text = re.sub(r'Optional\[(.*)\]$', r'\1 | None', text)
    text = re.sub(r'Union\[(.*)\]', lambda match: match[1].replace(', ', ' | '), text)
    return text.replace(' | ', ' or ').replace('NoneType', 'null').replace('None', 'null')


def written(value: object) -> str:
    """Return a default as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: 'null', True: 'true', False: 'false'}[value]
    return str(list(value) if isinstance(value, tuple) else value)


def table(rows: Iterable[Row], prefix: str = '') -> str:
    """Return a table in Markdown."""
    lines = ['| key | type | default | |', '|---|---|---|---|']
    for name, kind, default, text in rows:
        cells = f'`{prefix}{name}`', f'`{kind}`' if kind else '', f'`{default}`', text.replace('|', r'\|')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)
