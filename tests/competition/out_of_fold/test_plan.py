"""A plan finds its folder again, and no other."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from seglight.competition.out_of_fold.plan import Plan, check_origin, earlier_folder, find_folds, new_folder, read_plan
from seglight.errors import CheckpointError, UsageError


def plan(folds: int = 3, **data: Any) -> Plan:
    shared: dict[str, Any] = {'train': 'train', 'val_transforms': [], 'image_range': None, 'ignore_index': 255}
    known = {'classes': ['a', 'b'], 'seed': 42, **shared, **data}
    return Plan(folds, None, {'model': {'seed_everything': 7, 'wandb': {'api_key': 'secret'}, 'data': known}})


def claim(plan: Plan, work_dir: Path | None = None) -> Path:
    return earlier_folder(plan, work_dir) or new_folder(plan, work_dir)


def test_the_same_plan_has_the_same_folder_and_another_a_new_one(workspace: Path) -> None:
    first = claim(plan())
    assert first == Path('work_dirs/folds1')
    assert claim(plan()) == first
    assert claim(plan(folds=4)) == Path('work_dirs/folds2')
    assert claim(plan(batch_size=1)) == Path('work_dirs/folds3')
    read = read_plan(find_folds('folds1'))
    assert (read.folds, read.classes, read.data['seed']) == (3, ['a', 'b'], 7)
    assert 'secret' not in (first / 'plan.yaml').read_text()


def test_of_two_folders_with_the_plan_the_newest_is_taken(workspace: Path) -> None:
    for number, name in enumerate(('old', 'new')):
        claim(plan(), Path('work_dirs') / name)
        os.utime(f'work_dirs/{name}/plan.yaml', (number, number))
    assert claim(plan()) == Path('work_dirs/new')


def test_a_given_folder_must_have_this_plan(workspace: Path) -> None:
    folder = Path('own')
    assert claim(plan(), folder) == folder
    assert claim(plan(), folder) == folder
    message = (
        r'^own belongs to other settings: models.model.data.batch_size is 1 now, and was not set; '
        r'choose another --work-dir$'
    )
    with pytest.raises(UsageError, match=message):
        claim(plan(batch_size=1), folder)
    Path('full').mkdir()
    Path('full/file').touch()
    with pytest.raises(UsageError, match=r'^--work-dir full must be new, empty, or the folder of an earlier'):
        claim(plan(), Path('full'))
    Path('own/plan.yaml').write_text('folds: many\nmodels: {}\n')
    with pytest.raises(UsageError, match=r'own/plan.yaml is damaged'):
        read_plan(folder)


@pytest.mark.parametrize(
    'change',
    [
        {'folds': 1},
        {'folds': 1e308},
        {'folds': 10**40},
        {'group': 5},
        {'models': {}},
        {'models': []},
        {'models': {'../../elsewhere': plan().models['model']}},
        {'models': {'model': {'data': {**plan().data, 'classes': 'ab'}}}},
        {'models': {'model': {'data': {**plan().data, 'ignore_index': '255'}}}},
        {'models': {'model': {'data': [1]}}},
        {'more': 1},
    ],
)
def test_a_plan_with_wrong_values_is_damaged(change: dict[str, Any], workspace: Path) -> None:
    path = claim(plan()) / 'plan.yaml'
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(UsageError, match=r'^work_dirs/folds1/plan.yaml is damaged: restore it, or train again in '):
        read_plan(path.parent)


def test_a_folder_without_a_plan_is_named_with_those_that_have_one(workspace: Path) -> None:
    claim(plan())
    with pytest.raises(UsageError, match=r"'exp1' is not a folder of seglight folds \(those in work_dirs: folds1\)"):
        find_folds('exp1')


def test_a_plan_of_someone_else_imports_nothing(workspace: Path) -> None:
    check_origin(plan(train='train'), Path('plan.yaml'))
    with pytest.raises(CheckpointError, match='evil'):
        check_origin(plan(train={'type': 'evil.Source'}), Path('plan.yaml'))
