"""What a run can be asked for beside a plain training."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import Result
from PIL import Image

from seglight.models import Segmentor

Run = Callable[..., Result]


def weights(path: str) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)['state_dict']
    return state


def metrics(folder: str = 'work_dirs/exp1') -> list[dict[str, str]]:
    with Path(folder, 'metrics.csv').open() as file:
        return list(csv.DictReader(file))


def test_a_run_says_what_it_is_going_to_do(tiny_config: Path, run: Run) -> None:
    heads = '--model.optimizer.paramwise_cfg.custom_keys.head.lr_mult=10'
    done = run('fit', '--config', 'tiny.yaml', heads, '--trainer.accumulate_grad_batches=2')
    assert done.status == 0, done.err
    assert 'Training   SGD, learning rate 0.01, 2 steps, 4 images in a batch' in done.out
    table = [line.split()[:2] for line in Path('work_dirs/exp1/optimizer.txt').read_text().splitlines()]
    assert sorted(table[1:]) == [['0.01', '0.0005'], ['0.1', '0.0005']]
    assert Image.open('work_dirs/exp1/schedule.png').size == (1100, 400)  # with a legend of the two rates


def test_averaged_weights_are_validated_and_saved(tiny_config: Path, run: Run) -> None:
    """Lightning's own callback; the average after each step is computed here by hand."""
    average = ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.decay=0.5']
    everything = ['--checkpoint.max_keep_ckpts=-1', '--trainer.limit_train_batches=1', '--model.optimizer.lr=0.1']
    assert run('fit', '--config', 'tiny.yaml', *everything).status == 0
    assert run('fit', '--config', 'tiny.yaml', *everything, *average).status == 0
    plain = [weights(f'work_dirs/exp1/epoch_{epoch}.ckpt') for epoch in (1, 2)]
    averaged = weights('work_dirs/exp2/epoch_2.ckpt')
    name = 'segmentor.decode_head.conv_seg.weight'
    # torch's average starts with a copy of the weights after the first step.
    torch.testing.assert_close(averaged[name], (plain[0][name] + plain[1][name]) / 2)
    assert not torch.equal(averaged[name], plain[1][name])
    logged = [float(row['val/mIoU']) for row in metrics('work_dirs/exp2') if row['val/mIoU']]
    done = run('validate', '--ckpt', 'work_dirs/exp2/epoch_2.ckpt')
    assert f'mIoU             {100 * logged[-1]:.2f} %' in done.out


def test_finders_of_lightning_work_from_the_command_line(tiny_config: Path, run: Run) -> None:
    finder = ['--trainer.callbacks+=LearningRateFinder', '--trainer.callbacks.num_training_steps=24']
    batch = [
        '--trainer.callbacks+=BatchSizeFinder',
        '--trainer.callbacks.max_trials=1',
        '--trainer.callbacks.init_val=2',
    ]
    longer = ['--data.batch_size=2', '--trainer.max_epochs=6', '--trainer.limit_val_batches=0']
    done = run('fit', '--config', 'tiny.yaml', *finder, *longer)
    assert done.status == 0, done.err
    found = float(done.out.split('learning rate ')[1].split(',')[0])
    assert found != 0.01
    rates = [line.split()[0] for line in Path('work_dirs/exp1/optimizer.txt').read_text().splitlines()[1:]]
    assert [float(rate) for rate in rates] == [found]
    scheduler = torch.load('work_dirs/exp1/epoch_6.ckpt', weights_only=True)['lr_schedulers'][0]
    assert scheduler['_last_lr'][0] > found / 24 > 0.01 / 24  # the poly decay began with what was found
    done = run('fit', '--config', 'tiny.yaml', *batch)
    assert done.status == 0, done.err
    assert '4 steps, 4 images in a batch' not in done.out


@pytest.mark.parametrize(
    ('flags', 'cure'),
    [
        (['num_training_steps=3'], 'in 3 steps .*; raise its num_training_steps'),
        (['num_training_steps=100'], 'in 4 steps .*; the run ends after 4 steps; raise --trainer.max_epochs'),
        (['num_training_steps=4', 'early_stop_threshold=0.5'], 'in 2 steps .*; the loss grew too fast; give it a smaller max_lr'),
    ],
    ids=['few steps', 'short run', 'growing loss'],
)  # fmt: skip
def test_a_rate_that_is_not_found_is_told_with_the_cure(
    tiny_config: Path, run: Run, flags: list[str], cure: str
) -> None:
    finder = ['--trainer.callbacks+=LearningRateFinder', *(f'--trainer.callbacks.{flag}' for flag in flags)]
    done = run('fit', '--config', tiny_config, '--trainer.max_epochs=1', '--data.batch_size=2', *finder)
    assert done.status == 0, done.err
    assert re.search(f'seglight: warning: LearningRateFinder did not find a rate {cure}', done.err)
    assert 'Failed to compute suggestion' not in done.err


def test_class_weights_can_come_from_the_data(tiny_config: Path, data_root: Path, run: Run) -> None:
    balanced = ['--model.segmentor.decode_head.loss_decode.class_weight=balanced', '--trainer.max_epochs=1']
    done = run('fit', '--config', 'tiny.yaml', *balanced)
    assert done.status == 0, done.err
    labels = np.concatenate([np.array(Image.open(path)).ravel() for path in data_root.glob('ann_dir/train/*.png')])
    names, counts = np.unique(labels[labels != 255], return_counts=True)
    assert f'Background {len(labels[labels != 255]) / (len(names) * counts[0]):.2f},' in done.out
    assert run('predict', '--ckpt', 'exp1').status == 0
    assert Segmentor.load_from_checkpoint('work_dirs/exp1/epoch_1.ckpt', weights_only=True).classes


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(tiny_config: Path, run: Run) -> None:
    done = run('fit', '--config', 'tiny.yaml', '--model.optimizer.lr=1e30')
    assert done.status == 2
    assert 'the loss of step 1 is not finite' in done.err
    assert 'model.non_finite: skip' in done.err
    assert 'train/decode.loss_ce nan' in done.err
    saved = torch.load('work_dirs/exp1/non_finite_step_1.pt', weights_only=True)
    assert saved['batch']['image'].shape == (4, 3, 48, 48)
    for item in saved['batch']['meta']:
        assert Path(item['path']).is_file()
        assert item['name'] in done.err


def test_or_is_skipped_and_counted(tiny_config: Path, run: Run) -> None:
    settings = ['--model.non_finite=skip', '--model.optimizer.lr=1e30', '--trainer.max_epochs=1']
    with pytest.warns(UserWarning, match='Batch 1 skipped, because its loss is not finite .train/decode.loss_ce nan'):
        assert run('fit', '--config', 'tiny.yaml', *settings).status == 0
    last = [row for row in metrics() if row['train/loss']][-1]
    assert last['train/loss'] == 'nan'
    state = weights('work_dirs/exp1/epoch_1.ckpt')
    assert state['segmentor.decode_head.conv_seg.bias'].abs().max() > 1e20  # of the one step that was made


def test_a_run_that_goes_on_counts_skipped_batches_on(tiny_config: Path, run: Run) -> None:
    settings = ['--model.non_finite=skip', '--model.optimizer.lr=1e30']
    assert run('fit', '--config', 'tiny.yaml', *settings).status == 0
    assert run('fit', '--ckpt', 'exp1/epoch_1.ckpt', '--trust-checkpoint').status == 0
    whole, rest = ([row['train/skipped'] for row in metrics(f'work_dirs/exp{number}')] for number in (1, 2))
    assert [count for count in whole if count] == ['0.0', '1.0', '2.0', '3.0']
    assert [count for count in rest if count][-1] == '3.0'


def test_a_run_can_be_counted_in_iterations(tiny_config: Path, run: Run) -> None:
    settings = yaml.safe_load(Path('tiny.yaml').read_text())
    settings['trainer'] = {'max_steps': 3, 'accelerator': 'cpu', 'max_epochs': -1, 'log_every_n_steps': 1}
    settings['model']['schedule'] = {'_delete_': True, 'policy': 'step', 'step': [2], 'gamma': 0.1}
    Path('steps.yaml').write_text(yaml.safe_dump(settings))
    done = run('fit', '--config', 'steps.yaml')
    assert done.status == 0, done.err
    assert 'learning rate 0.01, 3 steps' in done.out
    checkpoint = torch.load('work_dirs/exp1/iter_3.ckpt', weights_only=True)
    assert checkpoint['global_step'] == 3
    assert checkpoint['optimizer_states'][0]['param_groups'][0]['lr'] == pytest.approx(0.001)


def test_a_finished_schedule_can_be_prolonged_from_a_checkpoint(tiny_config: Path, run: Run, trained: Path) -> None:
    shutil.copytree(trained, 'work_dirs/exp1')
    done = run('fit', '--ckpt', 'exp1/epoch_2.ckpt', '--trainer.max_epochs=3')
    assert done.status == 0, done.err
    scheduler = torch.load('work_dirs/exp2/epoch_3.ckpt', weights_only=True)['lr_schedulers'][0]
    assert scheduler['last_epoch'] == 6
