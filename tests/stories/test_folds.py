"""A competition in miniature: two models on three folds, killed on the way."""

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from compare_runs import differences
from conftest import Result, write_tiny_config
from mmseg.core.evaluation import mean_iou
from PIL import Image

from seglight.data.demo import generate

Run = Callable[..., Result]


@pytest.fixture(scope='module')
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated data set whose 18 training images show each class at least three times."""
    root = tmp_path_factory.mktemp('many')
    generate(root, seed=5, counts={'train': 18, 'val': 1, 'test': 2}, size=64)
    return root


@pytest.fixture
def models(workspace: Path, many: Path) -> list[str]:
    """The configs of two models in the working folder, as arguments."""
    first = write_tiny_config(workspace / 'first.yaml', many)
    (workspace / 'second.yaml').write_text(
        yaml.safe_dump({'_base_': first.name, 'model': {'segmentor': {'decode_head': {'channels': 8}}}})
    )
    return ['--config', 'first.yaml', '--config', 'second.yaml', '--folds', '3', '--trainer.max_epochs=1']


def labels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def done_runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob('*/fold*/.trained'))


@pytest.mark.slow
def test_two_models_on_three_folds_survive_a_kill(models: list[str], run: Run, many: Path) -> None:
    command = [sys.executable, '-m', 'seglight', 'folds', *models]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    folder = Path('work_dirs/folds1')
    while len(done_runs(folder)) < 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)  # in the middle of the prediction of the second fold, or of the next run
    process.communicate()
    finished = {path: (path / 'epoch_1.ckpt').stat().st_mtime_ns for path in done_runs(folder)}
    assert 2 <= len(finished) < 6
    done = run('folds', *models)
    assert done.status == 0, done.err
    assert sorted(path.name for path in Path('work_dirs').iterdir()) == ['folds1']
    assert finished == {path: (path / 'epoch_1.ckpt').stat().st_mtime_ns for path in finished}

    # a run is what fit makes of the same lists, bit for bit
    split = '--data.split={_delete_: true, folder: work_dirs/folds1/split/fold3}'
    assert run('fit', '--config', 'second.yaml', '--trainer.max_epochs=1', split, '--work-dir', 'alone').status == 0
    assert differences(Path('alone'), folder / 'second/fold3') == []

    # each image is predicted by the run that was not trained on it, and the score is mmseg's
    rows = {(row['model'], row['fold']): row for row in csv.DictReader((folder / 'scores.csv').open())}
    images = sorted((many / 'img_dir/train').iterdir())
    held: list[str] = []
    predicted, expected = [], []
    for fold in (1, 2, 3):
        validated = (folder / f'split/fold{fold}/val.txt').read_text().split()
        trained_on = (folder / f'split/fold{fold}/train.txt').read_text().split()
        assert sorted(validated + trained_on) == [f'img_dir/train/{path.name}' for path in images]
        held += validated
        for name in validated:
            predicted.append(labels(folder / f'second/fold{fold}/out_of_fold/plain/masks' / f'{Path(name).stem}.png'))
            expected.append(labels(many / f'ann_dir/train/{Path(name).stem}.png'))
    assert len(held) == len(set(held)) == len(images)
    iou = mean_iou(predicted, expected, 11, 255)['IoU']
    assert float(rows['second', 'all']['mIoU']) == pytest.approx(np.nanmean(iou), abs=1e-6)
    assert f'{100 * np.nanmean(iou):.2f}' in done.out
    assert (
        'first, fold 1 of 3' in Path(folder / 'folds.html').read_text()
        or 'first' in (folder / 'folds.html').read_text()
    )

    # the same command again runs nothing
    again = run('folds', *models)
    assert again.status == 0, again.err
    assert 'epoch' not in again.out
    assert (folder / 'scores.csv').read_text().count('\n') == 1 + 2 * 4


def test_wrong_input_starts_nothing(models: list[str], run: Run, many: Path) -> None:
    def refused(*words: str) -> str:
        result = run('folds', *words)
        assert result.status == 2, result.out + result.err
        assert len(result.err.splitlines()) == 1, result.err
        assert not Path('work_dirs').exists()
        return result.err

    assert 'folds needs a config for each model' in refused()
    assert '--folds must be at least 2, got 1' in refused('--config', 'first.yaml', '--folds', '1')
    assert '--jobs must be at least 1, got 0' in refused(*models, '--jobs', '0')
    assert "would both be the model 'first'" in refused('--config', 'first.yaml', '--config', 'first.yaml')
    assert 'max_epoch' in refused(*models, '--trainer.max_epoch=2')
    message = refused('--config', 'first.yaml', '--folds', '17')
    assert "--folds must be at most the number of images of each class, got 17: '" in message
    Path('other.yaml').write_text(
        yaml.safe_dump({'_base_': 'first.yaml', 'data': {'classes': ['a', 'b'], 'palette': None}})
    )
    message = refused('--config', 'first.yaml', '--config', 'other.yaml')
    assert 'data.classes must be equal in first and other: they have 11 and 2 classes' in message
    Path('full.yaml').write_text(yaml.safe_dump({'_base_': 'first.yaml', 'data': {'full': True}}))
    assert 'data.full must be false' in refused('--config', 'full.yaml')
