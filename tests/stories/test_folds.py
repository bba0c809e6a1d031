"""A competition in miniature: two models on three folds, killed on the way."""

import csv
import itertools
import re
import shutil
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
    return np.array(Image.open(path))  # writable, as torch wants it


def done_runs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob('*/fold*/.trained'))


@pytest.mark.slow
def test_a_competition_that_was_killed_ends_as_if_it_had_not_been(models: list[str], run: Run, many: Path) -> None:
    folder = Path('work_dirs/folds1')
    kill_after(2, folder, ['folds', *models, '--jobs', '3'])
    finished = {path: stamp(path) for path in done_runs(folder)}
    assert 2 <= len(finished) < 6
    done = run('folds', *models, '--jobs', '3')
    assert done.status == 0, done.err
    assert sorted(path.name for path in Path('work_dirs').iterdir()) == ['folds1']
    assert finished == {path: stamp(path) for path in finished}  # not touched
    check_bitwise(folder, run)
    check_scores(folder, many, done.out)
    again = run('folds', *models)
    assert again.status == 0, again.err
    assert 'epoch' not in again.out  # nothing was left to run
    check_ensemble(folder, many, run)


def kill_after(runs: int, folder: Path, words: list[str]) -> None:
    """Start a command, and kill it when some runs are done."""
    command = [sys.executable, '-m', 'seglight', *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while len(done_runs(folder)) < runs and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, out


def stamp(path: Path) -> int:
    return (path / 'epoch_1.ckpt').stat().st_mtime_ns


def check_bitwise(folder: Path, run: Run) -> None:
    """A run is what `fit` makes of the same lists."""
    split = f'--data.split={{_delete_: true, folder: {folder}/split/fold3}}'
    done = run('fit', '--config', 'second.yaml', '--trainer.max_epochs=1', split, '--work-dir', 'alone')
    assert done.status == 0, done.err
    assert differences(Path('alone'), folder / 'second/fold3') == ['files: .trained, out_of_fold']


def check_scores(folder: Path, many: Path, out: str) -> None:
    """Each image is predicted by the run that was not trained on it, and the score is mmseg's on the joined masks."""
    images = sorted(path.name for path in (many / 'img_dir/train').iterdir())
    held: list[str] = []
    predicted, expected = [], []
    for fold in (1, 2, 3):
        validated, trained_on = (
            [Path(line).name for line in (folder / f'split/fold{fold}/{name}.txt').read_text().splitlines()]
            for name in ('val', 'train')
        )
        assert sorted(validated + trained_on) == images
        held += validated
        for name in validated:
            mask = f'{Path(name).stem}.png'
            predicted.append(labels(folder / f'second/fold{fold}/out_of_fold/plain/masks' / mask))
            expected.append(labels(many / 'ann_dir/train' / mask))
    assert sorted(held) == images
    iou = mean_iou(predicted, expected, 11, 255)['IoU']
    with (folder / 'scores.csv').open() as file:
        rows = {(row['model'], row['fold']): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * 4
    assert float(rows['second', 'all']['mIoU']) == pytest.approx(np.nanmean(iou), abs=1e-6)
    assert f'{100 * np.nanmean(iou):.2f}' in out
    assert 'mIoU of second' in (folder / 'folds.html').read_text()


def check_ensemble(folder: Path, many: Path, run: Run) -> None:
    """The plain score of the best single model is mmseg's, and the file predicts."""
    chosen = run('ensemble', 'folds1', '--jobs', '3')
    assert chosen.status == 0, chosen.err
    scores = {
        name: (float(plain), float(nested))
        for name, plain, nested in re.findall(r'^  (.*?)  +([\d.]+) +([\d.]+)$', chosen.out, re.M)
    }
    assert list(scores) == ['best single model', 'ensemble', 'ensemble with post-processing']
    singles = []
    for model, views in itertools.product(('first', 'second'), ('plain', 'flips')):
        files = sorted(folder.glob(f'{model}/fold*/out_of_fold/{views}/probabilities/*.npz'))
        assert len(files) == 18
        masks = [np.load(file)['probabilities'].argmax(0) for file in files]
        truth = [labels(many / f'ann_dir/train/{file.stem}.png') for file in files]
        singles.append(100 * np.nanmean(mean_iou(masks, truth, 11, 255)['IoU']))
    assert scores['best single model'][0] == pytest.approx(max(singles), abs=0.006)
    assert scores['ensemble'][0] >= scores['best single model'][0]  # all pixels are in the sample
    best = max(scores, key=lambda name: scores[name][1])
    file = folder / 'ensemble.yaml'
    assert file.read_text().startswith(f'# {best} of {folder}')
    done = run('predict', '--ensemble', file, '--submission')
    assert done.status == 0, done.err
    assert (folder / 'ensemble.csv').read_text().count('\n') == 1 + 2
    shutil.rmtree(folder / 'second/fold2')
    gone = run('ensemble', folder)
    assert gone.status == 2
    assert f'{folder}/second/fold2 has no complete predictions' in gone.err


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
