"""Which checkpoint is the best, and compatibility with Lightning and older checkpoints."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Result
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.demos.boring_classes import BoringModel
from pytorch_lightning.loggers import CSVLogger

from seglight.callbacks import BestCheckpoint, IntervalCheckpoint
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import ConfigError

Run = Callable[..., Result]


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
def test_a_checkpoint_can_be_the_best_by_any_validation_metric(
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


def test_class_names_may_contain_special_characters(tiny_config: Path, run: Run, data_root: Path) -> None:
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
def test_a_metric_that_is_not_logged_is_rejected_before_training(
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


class Scored(BoringModel):
    """Logs the next of some values in each validation."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = iter(scores)

    def on_validation_epoch_end(self) -> None:
        self.log('val/mIoU', next(self.scores))


def fit(folder: Path, *scores: float, **options: Any) -> tuple[BestCheckpoint, IntervalCheckpoint]:
    best, newest = BestCheckpoint(), IntervalCheckpoint(max_keep_ckpts=1)
    options = {'logger': False, 'limit_train_batches': 1, 'limit_val_batches': 1, 'accelerator': 'cpu', **options}
    options |= {'enable_progress_bar': False, 'enable_model_summary': False, 'num_sanity_val_steps': 0}
    trainer = Trainer(default_root_dir=folder, max_epochs=len(scores), callbacks=[best, newest], **options)
    trainer.fit(Scored(*scores))
    return best, newest


@pytest.mark.parametrize(
    ('scores', 'epoch'),
    [
        ((0.1, 0.3, 0.2), 2),
        ((0.2, 0.2), 1),
        ((float('nan'), 0.1), 2),
        ((0.1, float('nan')), 1),
        ((float('nan'),) * 2, 1),
    ],
)
def test_the_best_is_the_first_highest_and_nan_is_the_lowest(tmp_path: Path, scores: tuple[float], epoch: int) -> None:
    best, newest = fit(tmp_path, *scores)
    assert [path.name for path in (tmp_path / 'checkpoints').glob('best_*')] == [f'best_mIoU_epoch_{epoch}.ckpt']
    assert best.best_model_path == str(tmp_path / f'checkpoints/best_mIoU_epoch_{epoch}.ckpt')
    assert newest.best_model_path == str(tmp_path / f'checkpoints/epoch_{len(scores)}.ckpt')


def test_files_have_the_default_folder_of_lightning(tmp_path: Path) -> None:
    lightnings = ModelCheckpoint()
    trainer = Trainer(logger=CSVLogger(tmp_path, 'name'), callbacks=[lightnings], default_root_dir=tmp_path)
    lightnings.setup(trainer, trainer.lightning_module, 'fit')
    best, newest = fit(tmp_path, 0.5, logger=CSVLogger(tmp_path, 'name'))
    assert best.dirpath == newest.dirpath == lightnings.dirpath == str(tmp_path / 'name/version_0/checkpoints')


def test_loggers_are_notified_of_each_file(tmp_path: Path) -> None:
    class Noting(CSVLogger):
        def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
            path = Path(checkpoint_callback.best_model_path)
            assert path.exists()
            noted.append((path.name, checkpoint_callback.best_model_score, checkpoint_callback.save_top_k))

    noted: list[Any] = []
    fit(tmp_path, 0.25, 0.125, logger=Noting(tmp_path))
    assert noted == [
        ('best_mIoU_epoch_1.ckpt', torch.tensor(0.25), 1),
        ('epoch_1.ckpt', None, -1),
        ('epoch_2.ckpt', None, -1),
    ]


@pytest.mark.parametrize('folder', ['', 'elsewhere'])
def test_the_best_of_an_older_checkpoint_stays_the_best(tmp_path: Path, folder: str) -> None:
    """As they were when Lightning's `ModelCheckpoint` was the base: the best counts if its file is in the folder."""
    best, newest = fit(tmp_path, 0.5)
    entries = torch.load(newest.best_model_path, weights_only=True)
    key = (
        "BestCheckpoint{'monitor': 'val/mIoU', 'mode': 'max', 'every_n_train_steps': 0, 'every_n_epochs': 1, "
        "'train_time_interval': None}"
    )
    path, score = best.best_model_path, torch.tensor(0.5)
    entries['callbacks'] = {
        key: {
            'monitor': 'val/mIoU', 'best_model_score': score, 'best_model_path': path, 'current_score': score,
            'dirpath': str(Path(path).parent), 'best_k_models': {path: score}, 'kth_best_model_path': path,
            'kth_value': score, 'last_model_path': '',
        }
    }  # fmt: skip
    torch.save(entries, tmp_path / 'older.ckpt')
    best, newest = BestCheckpoint(), IntervalCheckpoint()
    trainer = Trainer(
        default_root_dir=tmp_path / folder, max_epochs=3, callbacks=[best, newest], logger=False, accelerator='cpu',
        limit_train_batches=1, limit_val_batches=1, num_sanity_val_steps=0, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Scored(0.25, 0.375), ckpt_path=tmp_path / 'older.ckpt', weights_only=True)
    assert Path(best.best_model_path).name == ('best_mIoU_epoch_3.ckpt' if folder else 'best_mIoU_epoch_1.ckpt')


def test_a_metric_that_is_not_logged_ends_the_run(tmp_path: Path) -> None:
    best = BestCheckpoint('mDice')
    module: Any = SimpleNamespace()
    trainer: Any = SimpleNamespace(
        sanity_checking=False, fast_dev_run=False, state=SimpleNamespace(fn='fit'), global_step=1, callback_metrics={}
    )
    with pytest.raises(ConfigError, match='val/mDice'):
        best.on_validation_end(trainer, module)


def test_each_callback_deletes_only_its_own_checkpoints(tmp_path: Path) -> None:
    copies = [
        'best_IoU.Plastic_epoch_1_copy.ckpt',
        'best_IoU.Plastic_epoch_2 (1).ckpt',
        'epoch_1_copy.ckpt',
        'iter_3_copy.ckpt',
    ]
    copies += [f'.{name}.part' for name in copies]
    names = [
        *('best_IoU.Plastic_epoch_1.ckpt', 'best_IoU.Plastic_epoch_2.ckpt', 'best_IoU.Plastic_bag_epoch_1.ckpt'),
        *('best_IoU.Plastic_epoch_epoch_1.ckpt', 'epoch_1.ckpt', 'epoch_2.ckpt', 'iter_3.ckpt', 'iter_4.ckpt'),
        *copies,
    ]
    for number, name in enumerate(names):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    callbacks = [BestCheckpoint('IoU.Plastic'), IntervalCheckpoint(max_keep_ckpts=-1), IntervalCheckpoint(1, 'iter', 1)]
    for callback in callbacks:
        callback.dirpath = str(tmp_path)
    callbacks[0].best_model_path = str(tmp_path / names[1])
    trainer: Any = SimpleNamespace(callbacks=callbacks, is_global_zero=True)
    for callback in callbacks:
        callback.prune(trainer)
    assert {path.name for path in tmp_path.glob('*_*')} == {*names} - {names[0], 'iter_3.ckpt'}
    assert (tmp_path / 'last.ckpt').readlink() == Path('iter_4.ckpt')
    assert Checkpoint.find(tmp_path, best=False).path.name == 'iter_4.ckpt'


def test_the_best_of_two_classes_stay_where_one_name_begins_the_other(tiny_config: Path, run: Run) -> None:
    other = "[{class_path: seglight.callbacks.BestCheckpoint, init_args: {metric: 'IoU.Plastic bag'}}]"
    flags = ['--best_checkpoint.metric=IoU.Plastic', f'--trainer.callbacks={other}']
    done = run('fit', '--config', tiny_config, *flags)
    assert done.status == 0, done.err
    found = sorted(path.name.rpartition('_epoch_')[0] for path in Path('work_dirs/exp1').glob('best_*.ckpt'))
    assert found == ['best_IoU.Plastic', 'best_IoU.Plastic_bag']
