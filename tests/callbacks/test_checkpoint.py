"""When checkpoints are written, and which stay."""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Result

Run = Callable[..., Result]


def checkpoints(folder: Path) -> set[str]:
    return {path.name for path in folder.glob('[ei]*.ckpt')}


@pytest.mark.parametrize(
    ('flags', 'expected'),
    {
        'iterations': (['--checkpoint.unit=iter', '--checkpoint.interval=3'], {'iter_3.ckpt', 'iter_6.ckpt', 'iter_8.ckpt'}),
        'the newest': (['--checkpoint.unit=iter', '--checkpoint.max_keep_ckpts=2'], {'iter_7.ckpt', 'iter_8.ckpt'}),
        'all': (['--checkpoint.max_keep_ckpts=-1'], {'epoch_1.ckpt', 'epoch_2.ckpt'}),
        'minutes': (['--checkpoint.unit=minute'], {'iter_3.ckpt', 'iter_6.ckpt', 'iter_8.ckpt'}),
    }.values(),
)  # fmt: skip
def test_a_checkpoint_is_written_by_the_interval_and_at_the_end(
    tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch, flags: list[str], expected: set[str]
) -> None:
    clock = itertools.count(0, 25)  # it is asked at the start, before every step, and after a checkpoint
    monkeypatch.setattr('seglight.callbacks.checkpoint.time', SimpleNamespace(monotonic=lambda: next(clock)))
    done = run('fit', '--config', tiny_config, '--data.batch_size=2', *flags)
    assert done.status == 0, done.err
    assert checkpoints(Path('work_dirs/exp1')) == expected
    newest = max(expected, key=lambda name: int(name.split('_')[1].split('.')[0]))
    assert Path('work_dirs/exp1/last.ckpt').resolve().name == newest


def test_a_run_that_counts_steps_names_its_files_by_them(tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.max_steps=5', '--trainer.max_epochs=-1', '--checkpoint.unit=iter', '--checkpoint.interval=2']
    done = run('fit', '--config', tiny_config, *flags)
    assert done.status == 0, done.err
    assert checkpoints(Path('work_dirs/exp1')) == {'iter_2.ckpt', 'iter_4.ckpt', 'iter_5.ckpt'}
    assert next(path.name for path in Path('work_dirs/exp1').glob('best_*')).startswith('best_mIoU_iter_')


def rows(name: str, folder: str = 'work_dirs/exp1') -> list[float]:
    with Path(folder, 'metrics.csv').open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.parametrize(
    ('metric', 'best', 'name'),
    [
        ('IoU.General trash', max, 'best_IoU.General_trash_epoch_'),
        ('loss', min, 'best_loss_epoch_'),
        ('mDice', max, 'best_mDice_epoch_'),
    ],
)
def test_a_checkpoint_can_be_the_best_by_any_figure_of_the_validation(
    tiny_config: Path, run: Run, metric: str, best: Callable[[list[float]], float], name: str
) -> None:
    flags = ['--trainer.max_epochs=3', '--model.val_loss=true', f'--best_checkpoint.metric={metric}']
    done = run('fit', '--config', tiny_config, *flags)
    assert done.status == 0, done.err
    logged = rows(f'val/{metric}')
    assert len(logged) == 3
    epoch = logged.index(best(logged)) + 1
    assert [path.name for path in Path('work_dirs/exp1').glob('best_*')] == [f'{name}{epoch}.ckpt']
    shown = f'{best(logged):.4g}' if metric == 'loss' else f'{100 * best(logged):.2f} %'
    assert f'Best {metric}  {shown}  ({name}{epoch}.ckpt)' in done.out


def test_odd_names_of_classes_are_no_matter(tiny_config: Path, run: Run, data_root: Path) -> None:
    names = ['a.b', 'c/d', '{e}', '[f]*', 'g=h', '$\\\\foo{', 'ü', 'x' * 300, *map(str, range(4))]
    classes = f'--data.classes={json.dumps(names)}'
    for number, name in enumerate(names[:8], 1):
        flags = ['--data.palette=null', classes, '--trainer.max_epochs=1', '--trainer.limit_train_batches=1']
        done = run('fit', '--config', tiny_config, *flags, f'--best_checkpoint.metric=IoU.{name}')
        assert done.status == 0, done.err
        assert len(list(Path(f'work_dirs/exp{number}').glob('best_IoU.*_epoch_1.ckpt'))) == 1


@pytest.mark.parametrize(
    ('metric', 'said'),
    [
        ('IoU.Batery', "unknown metric 'IoU.Batery'; did you mean 'IoU.Battery'?"),
        ('miou', "unknown metric 'miou'; did you mean 'mIoU'?"),
        ('loss', 'model.val_loss'),
        ('Acc.Battery', 'model.per_class'),
        ('mBoundaryIoU', 'model.boundary_iou'),
    ],
)
def test_a_figure_that_is_not_logged_is_refused_before_training(
    tiny_config: Path, run: Run, metric: str, said: str
) -> None:
    done = run('fit', '--config', tiny_config, f'--best_checkpoint.metric={metric}')
    assert done.status == 2
    assert said in done.err
    assert f'--best_checkpoint.metric={metric}: ' in done.err
    assert done.out == ''
    assert not list(Path().glob('work_dirs/*'))


@pytest.mark.parametrize(('monitor', 'mode'), [('val/loss', 'min'), ('val/IoU.Battery', 'max')])
def test_a_run_stops_early_by_loss_or_by_a_class(tiny_config: Path, run: Run, monitor: str, mode: str) -> None:
    patience = 1
    stopping = [
        '--trainer.callbacks+=EarlyStopping', f'--trainer.callbacks.monitor={monitor}',
        f'--trainer.callbacks.mode={mode}', f'--trainer.callbacks.patience={patience}',
    ]  # fmt: skip
    done = run('fit', '--config', tiny_config, '--trainer.max_epochs=30', '--model.val_loss=true', *stopping)
    assert done.status == 0, done.err
    logged = rows(monitor)
    better = min if mode == 'min' else max
    waits = [value != better(logged[: place + 1]) or value in logged[:place] for place, value in enumerate(logged)]
    assert waits.index(True) == len(logged) - 1 or len(logged) == 30
