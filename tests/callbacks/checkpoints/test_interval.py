"""When checkpoints are written, and which are kept."""

import itertools
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
def test_a_checkpoint_is_written_at_the_interval_and_at_the_end(
    tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch, flags: list[str], expected: set[str]
) -> None:
    clock = itertools.count(0, 25)  # it is asked at the start, before every step, and after a checkpoint
    monkeypatch.setattr('seglight.callbacks.checkpoints.interval.time', SimpleNamespace(monotonic=lambda: next(clock)))
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
