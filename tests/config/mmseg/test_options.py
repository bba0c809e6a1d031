"""The options that people know from mmseg's tools."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Result
from mmcv import DictAction

from seglight.config.arguments import read_arguments
from seglight.config.mmseg.options import expand_options, translate_key
from seglight.config.settings import without_tuples

Run = Callable[..., Result]
KEYS = [('model', 'segmentor'), ('model', 'optimizer'), ('model', 'mean'), ('data', 'root')]


def expanded(*words: str) -> list[str]:
    arguments = read_arguments(['fit', *words])
    expand_options(arguments, KEYS)
    return arguments.argv()[1:]


@pytest.mark.parametrize(
    'value',
    [
        '3',
        '0.5',
        '1e-3',
        'true',
        'False',
        'None',
        'a',
        '1,2,3',
        '[1,2]',
        '(512,512)',
        '[(a,b),(c,d)]',
        '[(1,2),[a,True],c]',
        'x.y/z',
        "'quoted'",
    ],
)
def test_cfg_options_have_the_values_that_mmcv_gives_them(value: str) -> None:
    [flag] = expanded('--cfg-options', f'model.segmentor.x={value}')
    name, _, text = flag.partition('=')
    assert name == '--model.segmentor.x'
    assert yaml.safe_load(text) == without_tuples(DictAction._parse_iterable(value))


@pytest.mark.parametrize(
    ('key', 'here'),
    [
        ('model.decode_head.channels', 'model.segmentor.decode_head.channels'),
        ('model.pretrained', 'model.segmentor.pretrained'),
        ('model.segmentor.pretrained', 'model.segmentor.pretrained'),
        ('model.mean', 'model.mean'),
        ('data.samples_per_gpu', 'data.batch_size'),
        ('data.workers_per_gpu', 'data.num_workers'),
        ('data.root', 'data.root'),
        ('optimizer.lr', 'model.optimizer.lr'),
        ('runner.max_iters', 'trainer.max_steps'),
        ('lr_config.min_lr', 'model.schedule.min_lr'),
        ('checkpoint_config.interval', 'checkpoint.interval'),
        ('optimizer_config.grad_clip.max_norm', 'trainer.gradient_clip_val'),
    ],
)
def test_keys_of_mmseg_become_those_of_this_project(key: str, here: str) -> None:
    assert translate_key(key, {'segmentor', 'optimizer', 'mean'}) == here


def test_an_option_keeps_its_place_so_that_what_is_typed_behind_it_wins() -> None:
    flags = expanded('--debug', '--trainer.max_epochs=1', '--cfg_options', 'a=1', 'b=2', '--seed=3')
    assert flags == [
        '--trainer.max_epochs=2',
        '--trainer.max_steps=-1',
        '--wandb.project=null',
        '--trainer.max_epochs=1',
        '--a=1',
        '--b=2',
        '--seed_everything=3',
    ]


def printed(run: Run, *words: str | Path) -> dict[str, Any]:
    result = run('fit', *words, '--print_config')
    assert result.status == 0, result.err
    config: dict[str, Any] = yaml.safe_load(result.out)
    return config


def test_they_reach_the_config(tiny_config: Path, run: Run) -> None:
    config = printed(
        run, '--config', tiny_config, '--seed', '7', '--work-dir', 'here', '--tags', 'swin', 'batch_size=16', '--debug', '3',
        '--cfg-options', 'model.decode_head.dropout_ratio=0.3', 'optimizer.lr=0.5', 'data.samples_per_gpu=2',
        'model.auxiliary_head.loss_decode.loss_weight=0.1',
    )  # fmt: skip
    assert config['seed_everything'] == 7
    assert config['work_dir'] == 'here'
    assert config['tags'] == ['swin', 'batch_size=16']
    assert config['model']['segmentor']['decode_head']['dropout_ratio'] == 0.3
    assert config['model']['segmentor']['auxiliary_head']['loss_decode'] == {
        'type': 'CrossEntropyLoss',
        'loss_weight': 0.1,
    }
    assert config['model']['optimizer']['lr'] == 0.5
    assert config['model']['optimizer']['momentum'] == 0.9
    assert config['data']['batch_size'] == 2
    trainer = config['trainer']
    assert [trainer[key] for key in ('max_epochs', 'limit_train_batches', 'limit_val_batches')] == [2, 3, 3]


def test_hyphens_and_underscores_mean_the_same(tiny_config: Path, run: Run) -> None:
    for flags in (
        ['--work-dir', 'x', '--cfg-options', 'data.batch_size=1'],
        ['--work_dir=x', '--cfg_options', 'data.batch_size=1'],
    ):
        config = printed(run, '--config', tiny_config, *flags)
        assert (config['work_dir'], config['data']['batch_size']) == ('x', 1)


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['--cfg-options', 'model.decode_head.chanels=3'], ['--cfg-options model.decode_head.chanels=3', "'channels'"]),
        (['--cfg-options', 'trainer.max_epoch=3'], ['--cfg-options trainer.max_epoch=3', "'--trainer.max_epochs'"]),
        (['--cfg-options', 'trainer.max_epochs'], ["must be key=value, got 'trainer.max_epochs'"]),
        (['--cfg-options', 'model.x=[(1,2]'], ['model.x=[(1,2]', 'brackets']),
        (['--cfg-options', 'optimizer.lrr=1'], ['--cfg-options optimizer.lrr=1', "'lr'"]),
        (['--debug', 'many'], ["--debug takes a number of batches, not 'many'"]),
    ],
)  # fmt: skip
def test_errors_show_what_was_typed(tiny_config: Path, run: Run, words: list[str], said: list[str]) -> None:
    result = run('fit', '--config', tiny_config, *words)
    assert result.status == 2
    assert len(result.err.splitlines()) == (1 if '--debug' not in words else len(result.err.splitlines()))
    for part in said:
        assert part in result.err


def test_debug_trains_two_epochs_of_some_batches(tiny_config: Path, run: Run) -> None:
    result = run('fit', '--config', tiny_config, '--trainer.max_epochs=50', '--debug', '1')
    assert result.status == 0, result.err
    assert 'epoch 2/2' in result.out
    steps = Path('work_dirs/exp1/metrics.csv').read_text().splitlines()
    assert (
        sum(
            'train/loss' in steps[0] and row.split(',')[steps[0].split(',').index('train/loss')] != ''
            for row in steps[1:]
        )
        == 2
    )


def test_each_has_its_help(run: Run) -> None:
    text = run('fit', '--help-all').out
    for option in (
        '--work_dir',
        '--load_from',
        '--resume_from',
        '--no_validate',
        '--debug',
        '--seed',
        '--tags',
        '--cfg_options',
        '--model.zoo',
    ):
        assert option in text, option


def test_no_validate_trains_on_train_and_val(tiny_config: Path, run: Run) -> None:
    result = run('fit', '--config', tiny_config, '--no-validate', '--data.batch_size=1', '--trainer.max_epochs=1')
    assert result.status == 0, result.err
    assert 'mIoU' not in result.out
    names = {path.name for path in Path('work_dirs/exp1').glob('*.ckpt')}
    assert names == {'epoch_1.ckpt', 'last.ckpt'}
    steps = torch.load('work_dirs/exp1/epoch_1.ckpt', weights_only=True)['global_step']
    assert steps == 8 + 4  # images of train and of val


def test_aug_test_equals_the_callback_with_mmsegs_scales(
    trained: Path, data_root: Path, workspace: Path, run: Run
) -> None:
    scales = '--trainer.callbacks.scales=[0.5,0.75,1.0,1.25,1.5,1.75]'
    runs = {
        'plain': [],
        'option': ['--aug-test'],
        'callback': ['--trainer.callbacks+=TestTimeAugmentation', scales],
    }
    masks = {}
    for name, flags in runs.items():
        result = run('predict', '--ckpt', trained / 'epoch_2.ckpt', '--output', name, *flags)
        assert result.status == 0, result.err
        masks[name] = [path.read_bytes() for path in sorted((workspace / name / 'masks').iterdir())]
    assert masks['option'] == masks['callback'] != masks['plain']
