"""A competition in miniature: a plan, two models on three folds, pseudo labels, an ensemble, CSV; killed twice."""

import csv
import itertools
import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import check_with_axe
from compare_runs import differences
from conftest import Result, write_tiny_config
from data.archives.range_server import serving
from forks import forked_commands, start  # noqa: F401
from mmseg.core.evaluation import mean_iou
from PIL import Image

from seglight import read_config
from seglight.competition.out_of_fold.plan import Plan
from seglight.competition.out_of_fold.splitting import fold_lists
from seglight.data.demo import generate
from seglight.errors import UsageError

Run = Callable[..., Result]

#: What models of one epoch reach in some classes.
PRECISION = 0.1


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
@pytest.mark.usefixtures('forked_commands')
def test_a_competition_that_was_killed_ends_as_if_it_had_not_been(models: list[str], run: Run, many: Path) -> None:
    plan_first(run)
    folder, later = Path('work_dirs/folds1'), Path('work_dirs/folds1/round2')
    words = ['folds', *models, '--jobs', '3', '--rounds', '2', '--precision', str(PRECISION), '--pseudo-weight', '2']
    kill_after(2, folder, words)
    finished = {path: stamp(path) for path in done_runs(folder)}
    assert 2 <= len(finished) < 6
    assert not later.exists()
    kill_after(1, later, words)
    chosen = (later / 'round.yaml').stat().st_mtime_ns
    assert finished == {path: stamp(path) for path in finished}  # not touched
    finished = {path: stamp(path) for path in [*done_runs(folder), *done_runs(later)]}
    assert 7 <= len(finished) < 12
    done = run(*words)
    assert done.status == 0, done.err
    assert sorted(path.name for path in Path('work_dirs').iterdir()) == ['folds1']
    assert finished == {path: stamp(path) for path in finished}
    assert (later / 'round.yaml').stat().st_mtime_ns == chosen
    check_bitwise(folder, run)
    check_scores(folder, many, done.out)
    check_scores(later, many, done.out)
    check_rounds(folder, many, done.out)
    again = run(*words)
    assert again.status == 0, again.err
    assert 'epoch' not in again.out  # nothing was left to run
    other = run(*words, '--precision', '0.4')
    assert other.status == 2
    assert f'{later} has pseudo labels with --precision {PRECISION}, now 0.4; remove that folder' in other.err
    check_ensemble(later, many, run)


def plan_first(run: Run) -> None:
    """Let the data choose the settings of the first model, which the second one inherits."""
    Path('first.yaml').rename('own.yaml')
    planned = run('plan', '--config', 'own.yaml', '--hours', '0.0005', '--output', 'first.yaml')
    assert planned.status == 0, planned.err
    assert 'class_weight' in Path('first.yaml').read_text()


def kill_after(runs: int, folder: Path, words: list[str]) -> None:
    """Start a command, and kill it when some runs are done."""
    with start(*words) as process:
        while len(done_runs(folder)) < runs and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, out


def stamp(path: Path) -> int:
    return (path / 'epoch_1.ckpt').stat().st_mtime_ns


def check_bitwise(folder: Path, run: Run) -> None:
    """A run is what `fit` makes of the same lists, and of the same pseudo labels."""
    split = f'--data.split={{_delete_: true, folder: {folder}/split/fold3}}'
    pseudo = {
        'type': 'FolderSource',
        **{
            name: str((folder / 'round2/pseudo/fold3/pseudo_labels' / name).resolve())
            for name in ('img_dir', 'ann_dir')
        },
        'reduce_zero_label': False,
        'repeat': 2.0,
        'only_train': True,
    }
    more = {'second/fold3': [], 'round2/second/fold3': [f'--data.train={json.dumps(["train", pseudo])}']}
    for number, (name, flags) in enumerate(more.items()):
        alone = f'alone{number}'
        done = run('fit', '--config', 'second.yaml', '--trainer.max_epochs=1', split, *flags, '--work-dir', alone)
        assert done.status == 0, done.err
        found = differences(Path(alone), folder / name)
        assert found == ['files: .trained, out_of_fold'], found


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
    check_with_axe(folder / 'folds.html')
    assert 'mIoU of second' in (folder / 'folds.html').read_text()


def check_rounds(folder: Path, many: Path, out: str) -> None:
    """Pseudo labels of a fold are sure predictions of the models without it, by thresholds that hold on other folds."""
    later = folder / 'round2'
    chosen = yaml.safe_load((later / 'round.yaml').read_text())
    classes = yaml.safe_load((folder / 'plan.yaml').read_text())['models']['first']['data']['classes']
    kept = 0
    for fold, how in enumerate(chosen['folds'], start=1):
        files = [path.relative_to(folder) for path in used_checkpoints(later / f'pseudo/fold{fold}.yaml')]
        assert {path.parts[:2] for path in files} == {(model, f'fold{fold}') for model in how['members']}
        minimum = np.array([how['confidence'].get(name, 2) for name in classes], dtype=np.float32)
        check_precision(folder, many, fold, how['members'], minimum)
        pseudo = later / f'pseudo/fold{fold}'
        names = sorted(path.stem for path in (many / 'img_dir/test').iterdir())
        assert sorted(path.stem for path in (pseudo / 'pseudo_labels/ann_dir').iterdir()) == names
        for name in names:
            mask, labelled = labels(pseudo / f'masks/{name}.png'), labels(pseudo / f'pseudo_labels/ann_dir/{name}.png')
            sure = labelled != 255
            assert (labelled[sure] == mask[sure]).all()
            assert (minimum[np.unique(labelled[sure])] <= 1).all()
            kept += sure.sum()
        lists = Path(f'split/fold{fold}/val.txt')
        assert (later / lists).read_text() == (folder / lists).read_text()
        trained_on = (later / f'first/fold{fold}/split/train.txt').read_text().splitlines()
        assert sum(f'round2/pseudo/fold{fold}/' in line for line in trained_on) == len(names)
        assert not any(
            'pseudo' in line for line in (later / f'first/fold{fold}/split/val.txt').read_text().splitlines()
        )
    assert kept
    with (folder / 'rounds.csv').open() as file:
        rows = {row['model']: row['mIoU'] for row in csv.DictReader(file) if row['fold'] == 'all'}
    expected: dict[str, str] = {}
    for number, each in enumerate((folder, later), start=1):
        with (each / 'scores.csv').open() as file:
            scores = {row['model']: row['mIoU'] for row in csv.DictReader(file) if row['fold'] == 'all'}
        expected |= {f'{model} round {number}': scores[model] for model in ('first', 'second')}
    assert rows == expected
    assert 'second round 2' in out
    check_with_axe(folder / 'rounds.html')
    assert 'second round 2 compared with second round 1' in (folder / 'rounds.html').read_text()


def used_checkpoints(file: Path) -> list[Path]:
    members = yaml.safe_load(file.read_text())['members']
    return [Path(name) for member in members for name in member['checkpoints']]


def check_precision(folder: Path, many: Path, fold: int, members: dict[str, int], minimum: np.ndarray) -> None:
    """Of the out-of-fold predictions of the other folds, as many are right as `--precision` asks for, in each class."""
    predicted, expected, winner = [], [], []
    for other in {1, 2, 3} - {fold}:
        for file in sorted((folder / f'first/fold{other}/out_of_fold/plain/probabilities').iterdir()):
            parts = Path(f'fold{other}/out_of_fold/plain/probabilities') / file.name
            total = sum(
                weight * np.load(folder / model / parts)['probabilities'].astype(float)
                for model, weight in members.items()
            )
            mean = np.asarray(total) / sum(members.values()) / 255
            predicted.append(mean.argmax(0).ravel())
            winner.append(mean.max(0).ravel())
            expected.append(labels(many / f'ann_dir/train/{file.stem}.png').ravel())
    mask, truth, best = (np.concatenate(each) for each in (predicted, expected, winner))
    for label in np.flatnonzero(minimum <= 1):
        chosen = (mask == label) & (best >= minimum[label] - 1e-4)  # rounded in the file
        assert chosen.sum() >= 100
        assert (truth[chosen] == label).mean() >= PRECISION - 0.01


def check_ensemble(folder: Path, many: Path, run: Run) -> None:
    """The plain score of the best single model is mmseg's, and the file predicts."""
    chosen = run('ensemble', folder.relative_to('work_dirs'), '--jobs', '3')
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
    for flag in ('--print_config', '--print-config=comments'):
        assert f'{flag} prints and trains nothing; remove it' in refused(*models, flag)
    message = refused('--config', 'first.yaml', '--folds', '17')
    assert "--folds must be at most the number of images of each class, got 17: '" in message
    Path('other.yaml').write_text(
        yaml.safe_dump({'_base_': 'first.yaml', 'data': {'classes': ['a', 'b'], 'palette': None}})
    )
    message = refused('--config', 'first.yaml', '--config', 'other.yaml')
    assert 'data.classes must be equal in first and other: they have 11 and 2 classes' in message
    Path('pseudo.yaml').write_text('_base_: first.yaml\n')
    assert "pseudo.yaml: a model cannot have the name 'pseudo'; rename the file" in refused('--config', 'pseudo.yaml')
    Path('full.yaml').write_text(yaml.safe_dump({'_base_': 'first.yaml', 'data': {'full': True}}))
    assert 'data.full must be false' in refused('--config', 'full.yaml')


def test_an_image_of_two_sources_is_in_one_fold(models: list[str], many: Path) -> None:
    plan = Plan(3, None, {'first': read_config('first.yaml', overrides=['--data.train=[train, train]'])})
    texts = fold_lists(plan)
    held = [texts[f'fold{fold}/images.txt'].splitlines() for fold in (1, 2, 3)]
    assert sorted(itertools.chain(*held)) == sorted(map(str, (many / 'img_dir/train').glob('*.jpg')))
    for fold, images in enumerate(held, start=1):
        names = {Path(line).name for line in texts[f'fold{fold}/train.txt'].splitlines()}
        assert len(names) == 12
        assert names.isdisjoint(Path(image).name for image in images)


def test_images_that_cannot_be_split_start_nothing(
    models: list[str], run: Run, many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(train: str) -> str:
        result = run('folds', *models, f'--data.train={train}')
        assert result.status == 2, result.out + result.err
        assert len(result.err.splitlines()) == 1, result.err
        assert not Path('work_dirs').exists()
        return result.err

    marked = '{type: FolderSource, img_dir: img_dir/train, ann_dir: ann_dir/train, only_train: true}'
    message = refused(f'[train, {marked}]')
    assert 'is in two sources of data.train, one of which has only_train: true; take it out of one' in message
    assert run('data', 'pack', '--config', 'first.yaml', '--output', 'packed').status == 0
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    packed = next(Path('packed').glob('train/*'))
    with serving(packed.parent) as server:
        message = refused(f'{{type: ArchiveSource, path: {server.address}/{packed.name}}}')
    assert f'{packed.name} cannot be split into folds, which predict its images: copy it' in message


def test_what_is_left_out_of_the_folds_is_said_once(
    models: list[str], own_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own_data / 'img_dir/train/0001.jpg').write_text('text')
    flags = [f'--data.root={own_data}', '--data.on_bad_sample=skip']
    plan = Plan(2, None, {name: read_config(f'{name}.yaml', overrides=flags) for name in ('first', 'second')})
    texts = fold_lists(plan)  # which the runs read, so that they know nothing of it
    assert not any('0001.jpg' in text for text in texts.values())
    assert capsys.readouterr().err.count('seglight: warning: left out: ') == 1


def test_a_fold_without_images_is_refused(models: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(3, None, {'first': read_config('first.yaml')})
    none = 'seglight.competition.out_of_fold.splitting.validation_mask'
    monkeypatch.setattr(none, lambda samples, *_: np.zeros(len(samples), dtype=bool))
    with pytest.raises(UsageError, match='--folds must be smaller, got 3: fold 1 would have no images'):
        fold_lists(plan)


def test_images_whose_predictions_would_have_the_same_name_start_nothing(models: list[str], run: Run) -> None:
    names = ['a.jpg', 'a.png', 'b.jpg', 'c.jpg']
    for name in names:
        Image.new('RGB', (48, 48)).save(name)
    images = [{'id': at, 'file_name': name, 'height': 48, 'width': 48} for at, name in enumerate(names)]
    Path('coco.json').write_text(json.dumps({'images': images, 'categories': [], 'annotations': []}))
    here = Path.cwd()
    result = run('folds', *models, f'--data.train={{type: CocoSource, ann_file: {here}/coco.json, img_dir: {here}}}')
    assert result.status == 2, result.out + result.err
    message = (
        f'data.train includes {here}/a.png and {here}/a.jpg; their predictions would overwrite each other: rename one'
    )
    assert message in result.err
    assert not Path('work_dirs').exists()


def test_an_ensemble_needs_a_process(run: Run, workspace: Path) -> None:
    result = run('ensemble', 'folds1', '--jobs', '0')
    assert result.status == 2, result.out + result.err
    assert '--jobs must be at least 1, got 0' in result.err


def test_wrong_rounds_start_nothing(models: list[str], run: Run) -> None:
    def refused(*words: str) -> str:
        result = run('folds', *models, *words)
        assert result.status == 2, result.out + result.err
        assert len(result.err.splitlines()) == 1, result.err
        assert not Path('work_dirs').exists()
        return result.err

    assert '--rounds must be at least 1, got 0' in refused('--rounds', '0')
    assert '--precision is for pseudo labels: add --rounds 2, or remove it' in refused('--precision', '0.9')
    assert '--precision must be above 0 and at most 1, got 95.0' in refused('--rounds', '2', '--precision', '95')
    assert '--pseudo-weight must be above 0' in refused('--rounds', '2', '--pseudo-weight', '0')
    message = refused('--rounds', '2', '--data.test={type: ImageSource, path: nothing}')
    assert 'data.test must have images for --rounds: ' in message
    own = {'_base_': 'first.yaml', 'data': {'val_transforms': [{'type': 'Resize', 'height': 32, 'width': 32}]}}
    Path('second.yaml').write_text(yaml.safe_dump(own))
    message = refused('--rounds', '2')
    assert 'data.val_transforms must be equal in first and second for an ensemble' in message
