"""How the pseudo labels of a round are made, stored in its folder, so that a command that resumes makes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from seglight.competition.out_of_fold.plan import Plan
from seglight.data.arguments import is_number
from seglight.errors import UsageError, UserError, one_line
from seglight.files import as_bytes, write_atomically
from seglight.plain_text import load_yaml, read_text

#: The file in the folder of a round.
ROUND = 'round.yaml'


@dataclass(frozen=True)
class Labelling:
    """How the pseudo labels of a fold are made, chosen on the other folds.

    Attributes:
        members: the weight of each model of the ensemble.
        confidence: by class name, the probability below which a prediction is not a label; other classes are left out.
    """

    members: dict[str, int]
    confidence: dict[str, float]


@dataclass(frozen=True)
class Round:
    """The pseudo labels of a round.

    Attributes:
        precision: the precision that each confidence has, 0 to 1.
        weight: how often each pseudo label occurs in an epoch, on average.
        folds: of each fold.
    """

    precision: float
    weight: float
    folds: Sequence[Labelling]

    def write(self, path: Path, comments: Sequence[str]) -> None:
        """Write the file, with comments of one line each."""
        head = ''.join(f'# {comment}\n' for comment in comments)
        write_atomically(path, as_bytes(head + yaml.safe_dump(asdict(self), sort_keys=False, allow_unicode=True)))


def read_round(path: Path, plan: Plan) -> Round:
    """Read the file of a round.

    Raises:
        UsageError: if it cannot be read, or is not that of a round of the plan.
    """
    cure = 'remove it, and the same command writes it again'
    try:
        values = load_yaml(read_text(path), str(path))
    except (OSError, UnicodeDecodeError, UserError) as error:
        raise UsageError(f'{path} cannot be read: {cure} ({one_line(error)})') from error
    if not _is_round(values, plan):
        raise UsageError(f'{path} is damaged: {cure}')
    folds = [Labelling(fold['members'], fold['confidence']) for fold in values['folds']]
    return Round(values['precision'], values['weight'], folds)


def _is_round(values: Any, plan: Plan) -> bool:
    """Return whether the values of a file are those of a round of a plan."""
    if not isinstance(values, dict) or set(values) != {'precision', 'weight', 'folds'}:
        return False
    folds = values['folds']
    return (
        all(is_number(values[name]) for name in ('precision', 'weight'))
        and isinstance(folds, list)
        and len(folds) == plan.folds
        and all(_is_labelling(fold, plan) for fold in folds)
    )


def _is_labelling(values: Any, plan: Plan) -> bool:
    """Return whether a value is that of a fold: known models with weights, and known classes with probabilities."""
    if not isinstance(values, dict) or set(values) != {'members', 'confidence'}:
        return False
    members, confidence = values['members'], values['confidence']
    if not all(isinstance(table, dict) and table for table in (members, confidence)):
        return False
    known_models = all(name in plan.models and type(weight) is int and weight > 0 for name, weight in members.items())
    return known_models and all(
        name in plan.classes and is_number(value) and 0 <= value <= 1 for name, value in confidence.items()
    )
