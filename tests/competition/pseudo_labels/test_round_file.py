"""What a round stores is read back, and anything else is refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from seglight.competition.out_of_fold.plan import Plan
from seglight.competition.pseudo_labels.round_file import Labelling, Round, read_round
from seglight.errors import UsageError

PLAN = Plan(2, None, {name: {'data': {'classes': ['can', 'Größe']}} for name in ('first', 'second')})
ROUND = Round(0.95, 2.0, [Labelling({'first': 2, 'second': 1}, {'can': 0.5}), Labelling({'second': 1}, {'Größe': 1.0})])


def test_a_round_is_read_as_it_was_written(tmp_path: Path) -> None:
    ROUND.write(tmp_path / 'round.yaml', ['a comment'])
    assert (tmp_path / 'round.yaml').read_text().startswith('# a comment\nprecision: 0.95\n')
    assert read_round(tmp_path / 'round.yaml', PLAN) == ROUND


GOOD: dict[str, Any] = {'members': {'first': 1}, 'confidence': {'can': 0.5}}


@pytest.mark.parametrize(
    'change',
    [
        {'precision': 'high'},
        {'weight': True},
        {'folds': [GOOD]},
        {'folds': [GOOD, 1]},
        {'folds': [GOOD, {**GOOD, 'members': {}}]},
        {'folds': [GOOD, {**GOOD, 'members': {'third': 1}}]},
        {'folds': [GOOD, {**GOOD, 'members': {'first': 0}}]},
        {'folds': [GOOD, {**GOOD, 'confidence': {'dog': 0.5}}]},
        {'folds': [GOOD, {**GOOD, 'confidence': {'can': 1.5}}]},
        {'folds': [GOOD, {**GOOD, 'confidence': ['can']}]},
        {'more': 1},
    ],
)
def test_a_wrong_value_is_damage(change: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / 'round.yaml'
    path.write_text(yaml.safe_dump({'precision': 0.9, 'weight': 1, 'folds': [GOOD, GOOD], **change}))
    with pytest.raises(UsageError, match=r'round.yaml is damaged: remove it, and the same command writes it again$'):
        read_round(path, PLAN)


@pytest.mark.parametrize('data', [b'\xff\xfe', b'folds: [', b'[' * 3000])
def test_what_is_not_yaml_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / 'round.yaml').write_bytes(data)
    with pytest.raises(UsageError, match=r'round.yaml cannot be read: remove it, and') as caught:
        read_round(tmp_path / 'round.yaml', PLAN)
    assert len(str(caught.value).splitlines()) == 1
