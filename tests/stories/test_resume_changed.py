"""What a run that goes on keeps of its checkpoint, and what the config in force decides."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from compare_runs import differences, unequal
from conftest import Result, write_tiny_config

Run = Callable[..., Result]


@pytest.fixture
def command(workspace: Path, data_root: Path) -> list[str]:
    """Trains on 8 images in four batches of an epoch, with a schedule whose rates are easy to reckon."""
    config = write_tiny_config(workspace / 'tiny.yaml', data_root)
    config.write_text(config.read_text().replace('batch_size: 4', 'batch_size: 2'))
    schedule = (
        '{_delete_: true, policy: poly, power: 0.9, min_lr: 0, warmup: linear, warmup_iters: 3, warmup_ratio: 0.1}'
    )
    return ['fit', '--config', str(config), f'--model.schedule={schedule}', '--checkpoint.unit=iter', '--work-dir']


def logged(folder: str, name: str) -> dict[int, float]:
    with Path(folder, 'metrics.csv').open() as file:
        return {int(row['step']): float(row[name]) for row in csv.DictReader(file) if row[name]}


def poly(step: int, of: int, base: float) -> float:
    """The rate of a step, from 0, of the schedule above."""
    rate: float = base * (1 - step / of) ** 0.9
    return rate * (1 - (1 - step / 3) * 0.9) if step < 3 else rate


def cut(folder: str, step: int) -> None:
    """Leave of a finished run what there was after a step."""
    for path in Path(folder).glob('*.ckpt'):
        if path.name != f'iter_{step}.ckpt':
            path.unlink()


@pytest.mark.parametrize('step', [2, 4, 5])
def test_another_length_and_rate_hold_from_the_first_step_on(command: list[str], run: Run, step: int) -> None:
    assert run(*command, 'a', '--trainer.max_epochs=2', '--checkpoint.max_keep_ckpts=-1').status == 0
    cut('a', step)
    changed = ['--trainer.max_epochs=5', '--model.optimizer.lr=0.04', '--model.optimizer.weight_decay=0.003']
    done = run(*command, 'a', *changed, '--auto-resume')
    assert done.status == 0, done.err
    rates = logged('a', 'lr-SGD')
    assert list(rates) == list(range(20))
    assert [rates[at] for at in range(step)] == pytest.approx([poly(at, 8, 0.01) for at in range(step)])
    assert [rates[at] for at in range(step, 20)] == pytest.approx([poly(at, 20, 0.04) for at in range(step, 20)])
    saved = torch.load('a/last.ckpt', weights_only=True)['optimizer_states'][0]['param_groups'][0]
    assert saved['weight_decay'] == 0.003


@pytest.mark.parametrize(
    ('flags', 'place', 'steps', 'first'),
    [
        (['--data.batch_size=4'], '2 of 4; it resumes after batch 1 of epoch 2', 6 + 1 + 2, 3),
        (['--data.batch_size=1'], '8 of 1; it resumes after batch 4 of epoch 2', 6 + 4 + 8, 12),
        (['--trainer.limit_train_batches=2'], '2 of 2; it resumes after batch 1 of epoch 2', 6 + 1 + 2, 3),
    ],
)
def test_another_batch_size_counts_the_epoch_anew(
    command: list[str], run: Run, flags: list[str], place: str, steps: int, first: int
) -> None:
    """After 6 of 12 steps, in the middle of the second of three epochs."""
    assert run(*command, 'a', '--trainer.max_epochs=3', '--checkpoint.max_keep_ckpts=-1').status == 0
    cut('a', 6)
    done = run(*command, 'a', '--trainer.max_epochs=3', *flags, '--auto-resume')
    assert done.status == 0, done.err
    assert f'The run of the checkpoint had 4 batches of 2 images in an epoch, this run has {place}' in done.out
    rates = logged('a', 'lr-SGD')
    assert list(rates) == list(range(steps))
    assert len(logged('a', 'val/mIoU')) == 3
    left = steps - 6
    end = first + left  # the schedule ends with the run
    assert [rates[at] for at in range(6, steps)] == pytest.approx([poly(at, end, 0.01) for at in range(first, end)])


def test_another_accumulation_holds_from_the_next_step_on(command: list[str], run: Run) -> None:
    assert run(*command, 'a', '--trainer.max_epochs=2', '--checkpoint.max_keep_ckpts=-1').status == 0
    cut('a', 5)  # one batch of the second epoch is done
    done = run(*command, 'a', '--trainer.max_epochs=2', '--trainer.accumulate_grad_batches=2', '--auto-resume')
    assert done.status == 0, done.err
    rates = logged('a', 'lr-SGD')
    assert [rates[at] for at in (5, 6)] == pytest.approx([poly(at, 4, 0.01) for at in (2, 3)])
    assert len(rates) == 7


@pytest.mark.parametrize(
    ('finder', 'said'),
    [
        (
            ['LearningRateFinder', '--trainer.callbacks.num_training_steps=24', '--trainer.max_epochs=6'],
            'learning rate',
        ),
        (
            [
                'BatchSizeFinder',
                '--trainer.callbacks.max_trials=1',
                '--trainer.callbacks.init_val=1',
                '--trainer.max_epochs=3',
            ],
            'batch size',
        ),
    ],
)
def test_a_finder_has_found_and_is_left_out(command: list[str], run: Run, finder: list[str], said: str) -> None:
    flags = [f'--trainer.callbacks+={finder[0]}', *finder[1:], '--checkpoint.max_keep_ckpts=-1']
    flags.append('--trainer.limit_val_batches=0')
    assert run(*command, 'whole', *flags).status == 0
    shutil.copytree('whole', 'stopped', symlinks=True)
    cut('stopped', 5)
    done = run(*command, 'stopped', *flags, '--auto-resume')
    assert done.status == 0, done.err
    assert f'Skipped    {finder[0]}: the run continues with the {said}' in done.out
    assert differences(Path('whole'), Path('stopped')) == [
        f'files: {", ".join(f"iter_{step}.ckpt" for step in range(1, 5))}'
    ]
    assert logged('whole', 'lr-SGD') == logged('stopped', 'lr-SGD')
    weights = [torch.load(f'{name}/last.ckpt', weights_only=True)['state_dict'] for name in ('whole', 'stopped')]
    assert list(unequal(weights[0], weights[1], '')) == []


def test_a_run_that_had_stopped_early_stops_again_and_goes_on_with_more_patience(command: list[str], run: Run) -> None:
    stopping = [
        '--trainer.max_epochs=9', '--trainer.callbacks+=EarlyStopping', '--trainer.callbacks.monitor=val/mIoU',
        '--trainer.callbacks.mode=max', '--trainer.callbacks.min_delta=1', '--trainer.callbacks.patience',
    ]  # fmt: skip
    assert run(*command, 'a', *stopping[:-1], f'{stopping[-1]}=2').status == 0
    assert len(logged('a', 'val/mIoU')) == 3
    again = run(*command, 'a', *stopping[:-1], f'{stopping[-1]}=2', '--auto-resume')
    assert again.status == 0, again.err
    assert len(logged('a', 'val/mIoU')) == 3
    more = run(*command, 'a', *stopping[:-1], f'{stopping[-1]}=4', '--auto-resume')
    assert more.status == 0, more.err
    assert len(logged('a', 'val/mIoU')) == 5
