"""A plan from a config to a run."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY_SEGMENTOR, Result
from PIL import Image

from seglight.competition.plan import own_keys
from seglight.competition.planning.planner import TRANSFORMS, Planner
from seglight.config.files import SHIPPED, load_config
from seglight.config.settings import Origin, Settings

Run = Callable[..., Result]


@pytest.fixture
def own(workspace: Path, data_root: Path) -> Path:
    """A config whose own keys are the model, the root and the workers; all others are shipped."""
    path = workspace / 'own.yaml'
    config = {
        '_base_': ['datasets/trash.yaml', 'schedules/sgd_poly.yaml', 'runtime.yaml'],
        'model': {'segmentor': TINY_SEGMENTOR},
        'data': {'root': str(data_root), 'num_workers': 0},
        'trainer': {'accelerator': 'cpu'},
        'report': False,
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
def test_a_plan_follows_the_data_and_trains(own: Path, data_root: Path, run: Run) -> None:
    done = run('plan', '--config', own, '--hours', '0.0005')
    assert done.status == 0, done.err
    text = Path('plan.yaml').read_text()
    assert text in done.out
    values = yaml.safe_load(text)
    assert values['_base_'] == ['own.yaml']
    masks = [np.array(Image.open(path)) for path in sorted((data_root / 'ann_dir/train').iterdir())]
    counts = np.bincount(np.concatenate(masks, None), minlength=256)[:11]
    share = counts / counts.sum()
    weights = values['model']['segmentor']['decode_head']['loss_decode']['class_weight']
    assert weights == pytest.approx(np.minimum(share**-0.5 / (share**0.5).sum(), 10), abs=0.006)
    assert [each['type'] for each in values['data']['train_transforms']] == [
        'RandomScale', 'PadIfNeeded', 'RandomCrop', 'HorizontalFlip', 'VerticalFlip', 'RandomBrightnessContrast',
    ]  # fmt: skip
    assert values['data']['train_transforms'][2] == {'type': 'RandomCrop', 'height': 64, 'width': 64}
    assert values['data']['batch_size'] == 2  # more than a twentieth of eight images already
    assert values['model']['channels_last'] in (True, False)
    assert re.search(r'# channels-last features make a step [\d.]+ and [\d.]+ times as fast$', text, re.M)
    presence = np.array([np.bincount(mask.ravel(), minlength=256)[:11] > 0 for mask in masks]).mean(0)
    assert values['data']['class_balance'] == (0.2 if presence.min() < 0.2 else None)
    assert 'num_workers' not in values['data']
    assert re.search(r'^Kept +data.num_workers, which \S*own.yaml:\d+ sets$', done.out, re.M)
    epochs = values['trainer']['max_epochs']
    assert 1 <= epochs <= 1000
    assert all(text.splitlines()[at - 1].lstrip().startswith('#') for at in lines_of_choices(text))
    trained = run('fit', '--config', 'plan.yaml', '--trainer.max_epochs=1', '--trainer.check_val_every_n_epoch=1')
    assert trained.status == 0, trained.err
    assert load_config(Path('plan.yaml')).values['data']['root'] == str(data_root)
    assert not list(Path('work_dirs').glob('exp2'))  # the trials left nothing
    again = run('plan', '--config', own)
    assert again.status == 2
    assert 'plan.yaml exists and is kept as it is' in again.err
    assert Path('plan.yaml').read_text() == text


def lines_of_choices(text: str) -> list[int]:
    """The lines of keys with values, each of which needs a comment before it."""
    lines = text.splitlines()
    keys = [at for at, line in enumerate(lines) if re.match(r' +[\w]+:( |$)', line)]
    return [at for at in keys if not lines[at].endswith(':') or lines[at + 1].lstrip().startswith('- ')]


@pytest.mark.parametrize(
    'transforms',
    [
        {'data': {'train_transforms+': [{'type': 'Transpose'}]}},
        {'data': {'train_transforms': [{'type': 'Transpose'}]}},
    ],
)
def test_transforms_that_a_file_extends_or_sets_are_kept(
    own: Path, run: Run, transforms: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def planned(self: Planner) -> float:
        self._choose(TRANSFORMS, [], 'a reason')
        self._choose('data.class_balance', 0.2, 'a reason')
        return 1.0

    monkeypatch.setattr(Planner, 'plan', planned)
    Path('edited.yaml').write_text(yaml.safe_dump({'_base_': own.name, **transforms}))
    done = run('plan', '--config', 'edited.yaml')
    assert done.status == 0, done.err
    assert yaml.safe_load(Path('plan.yaml').read_text())['data'] == {'class_balance': 0.2}
    assert re.search(r'^Kept +data.train_transforms, which \S*edited.yaml:\d+ sets$', done.out, re.M)


def test_a_key_is_own_if_a_part_of_it_is() -> None:
    shipped, own = Origin(str(SHIPPED / 'runtime.yaml'), 3), Origin('own.yaml', 5)
    origins = {
        ('data',): shipped,
        ('data', 'cache'): shipped,
        ('data', 'val_transforms'): shipped,
        ('data', 'val_transforms', '0', 'p'): own,
        ('data', 'train_transforms+'): own,
    }
    found = own_keys(Settings({}, origins))
    assert found['data.val_transforms'] == found['data.train_transforms'] == own
    assert 'data.cache' not in found


@pytest.mark.parametrize(
    ('trainer', 'epochs'),
    [
        ({'max_steps': 300, 'max_epochs': -1, 'accumulate_grad_batches': 1}, 30),
        ({'max_steps': 300, 'max_epochs': -1, 'accumulate_grad_batches': 4}, 100),  # 4 + 4 + 2 batches: 3 steps
        ({'max_steps': 5, 'max_epochs': None, 'accumulate_grad_batches': 1}, 0.5),
        ({'max_steps': 300, 'max_epochs': 20, 'accumulate_grad_batches': 1}, 20),
        ({'max_steps': -1, 'max_epochs': 20, 'accumulate_grad_batches': 4}, 20),
        ({'max_steps': -1, 'max_epochs': -1, 'accumulate_grad_batches': 1}, None),
    ],
)
def test_steps_of_the_optimizer_are_several_batches(trainer: dict[str, Any], epochs: float | None) -> None:
    trials: Any = None
    assert Planner({'trainer': trainer}, frozenset(), 1.0, trials)._given_epochs(10) == epochs


def test_wrong_arguments_measure_nothing(own: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: str | Path) -> str:
        result = run('plan', *words)
        assert result.status == 2, result.out + result.err
        assert len(result.err.splitlines()) == 1, result.err
        assert [path.name for path in Path().iterdir()] == ['own.yaml']
        return result.err

    assert 'plan needs a config that names the data and the model' in refused()
    for hours in ('0', '-1', 'nan', 'inf'):
        assert f'--hours must be above 0, got {hours}' in refused('--config', own, '--hours', hours)
    assert '--output must be a .yaml file, got plan.txt' in refused('--config', own, '--output', 'plan.txt')
    assert "'nothing.yaml' was not found" in refused('--config', own, '--config', 'nothing.yaml')
    values = yaml.safe_load(own.read_text())
    own.write_text(yaml.safe_dump({**values, 'data': {'root': 'nowhere'}}))
    assert 'nowhere' in refused('--config', own)
    own.write_text(yaml.safe_dump({**values, 'data': {'batchsize': 3}}))
    message = refused('--config', own)
    assert 'own.yaml' in message
    assert "did you mean 'batch_size'?" in message
