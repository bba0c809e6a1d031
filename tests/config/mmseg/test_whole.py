"""A whole config of mmseg where a YAML may stand."""

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Result
from mmcv import Config
from mmcv.runner import EpochBasedRunner, IterBasedRunner, build_optimizer
from mmcv.runner.hooks import HOOKS
from mmseg.models import build_segmentor

import seglight.models.optimizers as optimizers
from seglight.config.files import find_config, load_config
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.mmseg.whole import WholeConfig
from seglight.config.mmseg.zoo import zoo_names
from seglight.config.settings import Settings
from seglight.data import SegmentationDataModule
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.errors import UsageError

Run = Callable[..., Result]


def resolved(run: Run, *words: str | Path) -> dict[str, Any]:
    result = run('fit', *words, '--print_config')
    assert result.status == 0, result.err
    return dict(yaml.safe_load(result.out))


def test_it_trains_validates_and_saves_when_mmseg_would(own_config: Path, run: Run) -> None:
    result = run('fit', '--config', own_config, '--work-dir', 'a', '--report=false')
    assert result.status == 0, result.err
    assert result.err == ''
    assert {path.name for path in Path('a').glob('iter_*')} == {'iter_3.ckpt', 'iter_6.ckpt'}
    assert len(list(Path('a').glob('best_mIoU_iter_*.ckpt'))) == 1
    assert run('predict', '--ckpt', 'a/last.ckpt').status == 0
    config = yaml.safe_load(Path('a/config.yaml').read_text())
    assert run('fit', '--config', 'a/config.yaml', '--print_config').status == 0
    assert config['data']['train']['type'] == 'FolderSource'


def test_the_settings_are_those_of_the_file(own_config: Path, run: Run) -> None:
    config = resolved(run, '--config', own_config)
    trainer = config['trainer']
    assert (trainer['max_steps'], trainer['max_epochs']) == (6, -1)
    assert (trainer['val_check_interval'], trainer['check_val_every_n_epoch']) == (3, None)
    assert (trainer['log_every_n_steps'], trainer['benchmark']) == (2, True)
    assert config['checkpoint'] | {'interval': 3, 'unit': 'iter', 'max_keep_ckpts': -1} == config['checkpoint']
    assert config['best_checkpoint']['metric'] == 'mIoU'
    assert (config['data']['batch_size'], config['data']['num_workers']) == (4, 0)
    assert len(config['data']['classes']) == 11
    assert config['model']['optimizer'] == {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, 'weight_decay': 0.0005}


def test_cfg_options_have_mmsegs_keys(own_config: Path, run: Run) -> None:
    options = [
        *('runner.max_iters=4', 'evaluation.interval=2', 'checkpoint_config.interval=2', 'optimizer.lr=0.05'),
        *('data.train.times=2', 'data.test.img_dir=img_dir/val', 'evaluation.save_best=mDice', 'seed=7'),
        *('model.decode_head.channels=8', 'data.samples_per_gpu=2', 'log_config.interval=1', 'lr_config.power=1.0'),
        'data.train.dataset.pipeline.3.cat_max_ratio=0.5',
    ]
    config = resolved(run, '--config', own_config, '--cfg-options', *options)
    assert config['trainer']['max_steps'] == 4
    assert (config['trainer']['val_check_interval'], config['trainer']['check_val_every_n_epoch']) == (2, None)
    assert (config['checkpoint']['interval'], config['checkpoint']['unit']) == (2, 'iter')
    assert (config['model']['optimizer']['lr'], config['model']['schedule']['power']) == (0.05, 1.0)
    assert (config['data']['train']['repeat'], config['data']['test']['img_dir']) == (2, 'img_dir/val')
    assert (config['best_checkpoint']['metric'], config['seed_everything']) == ('mDice', 7)
    assert config['model']['segmentor']['decode_head']['channels'] == 8
    assert (config['data']['batch_size'], config['trainer']['log_every_n_steps']) == (2, 1)
    assert config['data']['train_transforms'][1]['cat_max_ratio'] == 0.5


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('optimiser.lr=1', "must set a key of the file, got 'optimiser'; did you mean 'optimizer'?"),
        ('data.train.times.x=1', '--cfg-options'),
        ('train_pipeline.99.type=Pad', 'own.py'),
    ],
)
def test_a_wrong_option_is_one_line(option: str, message: str, own_config: Path, run: Run) -> None:
    result = run('fit', '--config', own_config, '--cfg-options', option, '--print_config')
    assert result.status == 2
    assert message in result.err
    assert result.err.count('\n') == 1


def test_epochs_are_counted_where_the_file_counts_them(own_config: Path, run: Run) -> None:
    own_config.write_text(
        own_config.read_text()
        .replace("type='IterBasedRunner', max_iters=6", "type='EpochBasedRunner', max_epochs=6")
        .replace('by_epoch=False, interval=3', 'interval=3')
    )
    config = resolved(run, '--config', own_config)
    assert (config['trainer']['max_epochs'], config['trainer']['max_steps']) == (6, -1)
    assert (config['trainer']['check_val_every_n_epoch'], config['trainer']['val_check_interval']) == (3, None)
    assert config['checkpoint']['unit'] == 'epoch'


@pytest.mark.parametrize('runner', [IterBasedRunner, EpochBasedRunner])
def test_hooks_count_by_default_what_mmcvs_runner_counts(runner: type, own_config: Path) -> None:
    length = {'max_iters': 6} if runner is IterBasedRunner else {'max_epochs': 6}
    config = {'lr_config': {'policy': 'poly'}, 'checkpoint_config': {'interval': 3}}
    model = torch.nn.Linear(1, 1)
    model.train_step = model.forward  # type: ignore[assignment]  # which a runner asks for
    theirs = runner(model, logger=logging.getLogger('quiet'), work_dir='.', **length)
    theirs.register_training_hooks(**copy.deepcopy(config))
    by_epoch = {type(hook).__name__: hook.by_epoch for hook in theirs.hooks if hasattr(hook, 'by_epoch')}
    text = f'runner = dict(type={runner.__name__!r}, **{length})\nlr_config = {config["lr_config"]}\n'
    own_config.write_text(own_config.read_text() + text + f'checkpoint_config = {config["checkpoint_config"]}\n')
    values = load_config(own_config).values
    assert values['model']['schedule']['by_epoch'] is by_epoch['PolyLrUpdaterHook']
    assert (values['checkpoint']['unit'] == 'epoch') is by_epoch['CheckpointHook']


def test_accumulation_in_the_options_counts_steps_as_in_the_file(own_config: Path, run: Run) -> None:
    text = own_config.read_text()
    options = ['optimizer_config.cumulative_iters=3', 'checkpoint_config.interval=6', 'log_config.interval=3']
    by_options = resolved(run, '--config', own_config, '--cfg-options', *options)
    changes = 'checkpoint_config["interval"] = 6\nlog_config["interval"] = 3\n'
    own_config.write_text(f'{text}\noptimizer_config = dict(cumulative_iters=3)\n{changes}')
    assert resolved(run, '--config', own_config) == by_options
    assert by_options['trainer']['max_steps'] == 2
    assert (by_options['checkpoint']['interval'], by_options['trainer']['log_every_n_steps']) == (2, 1)
    own_config.write_text(f'{text}\noptimizer_config = dict(cumulative_iters=3)\n')  # the others as options
    assert resolved(run, '--config', own_config, '--cfg-options', *options[1:]) == by_options


@pytest.mark.parametrize('name', ['val', 'test'])
def test_classes_in_another_order_are_refused(name: str, own_config: Path) -> None:
    classes = load_config(own_config).values['data']['classes']
    for each in (classes, classes[::-1]):
        own_config.write_text(f"{own_config.read_text()}\ndata['{name}']['classes'] = {each!r}\n")
        if each == classes:
            load_config(own_config)
    with pytest.raises(UsageError, match=rf'data\.{name}\.classes must be those of data\.train'):
        load_config(own_config)


def test_a_yaml_may_inherit_it_and_flags_override_it(own_config: Path, run: Run) -> None:
    Path('more.yaml').write_text('_base_: own.py\ndata: {batch_size: 3}\nmodel: {optimizer: {lr: 0.2}}\n')
    config = resolved(run, '--config', 'more.yaml', '--data.num_workers=1', '--load-from', 'x.pth', '--work-dir', 'w')
    assert (config['data']['batch_size'], config['data']['num_workers']) == (3, 1)
    assert config['model']['optimizer'] == {'type': 'SGD', 'lr': 0.2, 'momentum': 0.9, 'weight_decay': 0.0005}
    assert (config['load_from'], config['work_dir']) == ('x.pth', 'w')
    config = resolved(run, '--config', own_config, '--config', 'more.yaml')
    assert config['data']['batch_size'] == 3


def test_it_replaces_the_model_of_a_config_before_it(own_config: Path, tiny_config: Path) -> None:
    base = load_config(tiny_config)
    model = base.merged_with(load_config(own_config)).values['model']
    assert 'auxiliary_head' not in model['segmentor']
    assert model['schedule'] == {'by_epoch': False, 'policy': 'poly', 'power': 0.9, 'min_lr': 1e-4}


def test_what_surrounds_the_training_is_kept(own_config: Path) -> None:
    text = """
load_from, work_dir, seed, workflow = 'a.pth', 'w', 3, [('train', 1), ('val', 1)]
log_config = dict(interval=5, hooks=[dict(type='WandbLoggerHook', init_kwargs=dict(project='p', name='n', dir='d'))])
optimizer_config = dict(type='GradientCumulativeFp16OptimizerHook', cumulative_iters=2, grad_clip=dict(max_norm=1))
fp16 = dict()
"""
    own_config.write_text(own_config.read_text() + text)
    values = load_config(own_config).values
    assert (values['load_from'], values['work_dir'], values['seed_everything']) == ('a.pth', 'w', 3)
    assert values['wandb'] == {'project': 'p', 'name': 'n'}
    assert values['model']['val_loss'] is True
    trainer = values['trainer']
    assert (trainer['max_steps'], trainer['accumulate_grad_batches'], trainer['val_check_interval']) == (3, 2, 3)
    assert (trainer['precision'], trainer['gradient_clip_val'], values['checkpoint']['interval']) == ('16-mixed', 1, 2)


def test_without_normalisation_the_model_sees_values_to_255(own_config: Path) -> None:
    own_config.write_text(own_config.read_text().replace("    dict(type='Normalize', **img_norm_cfg),\n", ''))
    text = own_config.read_text().replace("dict(type='Normalize', **img_norm_cfg),", '')
    own_config.write_text(text)
    model = load_config(own_config).values['model']
    assert (model['mean'], model['std']) == ([0, 0, 0], [1, 1, 1])


def test_what_has_no_effect_is_one_warning(own_config: Path, run: Run) -> None:
    own_config.write_text(own_config.read_text() + "gpu_ids = [0]\nevaluation['start'] = 5\n")
    result = run('fit', '--config', own_config, '--print_config')
    line = f'{own_config}: without effect: evaluation.start (validation runs from the start); gpu_ids (use --trainer.'
    assert result.err.count('\n') == 1
    assert line in result.err


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ("custom_hooks = [dict(type='EMAHook')]", 'custom_hooks names hooks of mmcv'),
        ("data['train']['dataset']['type'] = 'Mine'", r'data\.train\.dataset\.type must be a data set of mmseg'),
        ("train_pipeline[3]['type'] = 'CLAHE'", r'data\.train\.dataset\.pipeline\.3 is CLAHE'),
        ('import os', r'own\.py:59: a config may not contain'),
        ("runner['max_iters'] = 'many'", 'trainer.max_steps: expected int'),
        ("data = dict(train=dict(type='CityscapesDataset'))", r'data\.train\.img_dir must be a folder'),
        ('checkpoint_config = [1]', 'checkpoint_config must be a dict'),
        ('lr_config = dict(policy=3)', 'model.schedule'),
        ('log_config = dict(interval=5, hooks=3)', 'is not a config of mmseg'),
    ],
)
def test_what_is_not_followed_is_one_line(own_config: Path, run: Run, text: str, message: str) -> None:
    own_config.write_text(f'{own_config.read_text()}{text}\n')
    result = run('fit', '--config', own_config)
    assert result.status == 2
    assert result.err.count('\n') == 1
    assert 'own.py' in result.err
    with pytest.raises(UsageError, match=message):
        raise UsageError(result.err)


def test_an_unknown_file_is_looked_up_in_the_zoo(workspace: Path) -> None:
    name = 'configs/pspnet/pspnet_r50-d8_512x512_40k_voc12aug.py'
    assert find_config(name) == zoo_folder().parent / name
    with pytest.raises(UsageError, match=r"'nowhere\.py' is neither an mmseg config"):
        find_config('nowhere.py')


SAMPLE = zoo_names()[::40]


@pytest.mark.parametrize('name', SAMPLE)
def test_the_training_is_that_of_mmcvs_config(name: str) -> None:
    theirs = Config.fromfile(str(zoo_folder() / f'{name}.py'))
    ours = WholeConfig(zoo_folder() / f'{name}.py').settings.values
    assert (theirs.data.samples_per_gpu, theirs.data.workers_per_gpu) == (
        ours['data']['batch_size'],
        ours['data']['num_workers'],
    )
    accumulated = theirs.optimizer_config.get('cumulative_iters', 1)
    assert ours['trainer']['max_steps'] * accumulated == theirs.runner.max_iters
    assert ours['trainer']['val_check_interval'] == theirs.evaluation.interval
    assert ours['checkpoint']['interval'] * accumulated == theirs.checkpoint_config.interval
    crop = next(each for each in ours['data']['train_transforms'] if each['type'] == 'CatMaxRatioCrop')
    assert (crop['height'], crop['width']) == tuple(theirs.crop_size)
    assert ours['model']['mean'] == list(theirs.img_norm_cfg.mean)
    schedule = {name: value for name, value in ours['model']['schedule'].items() if name not in ('_delete_', 'policy')}
    policy = theirs.lr_config.pop('policy')
    expected = HOOKS.get(f'{policy.title()}LrUpdaterHook')(**theirs.lr_config)
    assert vars(HOOKS.get(f'{policy.title()}LrUpdaterHook')(**schedule)).keys() == vars(expected).keys()
    for key, value in vars(expected).items():
        assert vars(HOOKS.get(f'{policy.title()}LrUpdaterHook')(**schedule))[key] == value, key


def test_the_optimizer_has_the_groups_of_mmcvs() -> None:
    name = 'segformer/segformer_mit-b0_512x512_160k_ade20k'
    theirs = Config.fromfile(str(zoo_folder() / f'{name}.py'))
    theirs.model.pretrained = None
    theirs.model.backbone.init_cfg = None
    model = build_segmentor(theirs.model)
    ours = {**WholeConfig(zoo_folder() / f'{name}.py').settings.values['model']['optimizer']}
    del ours['_delete_']

    def options(optimizer: Any) -> dict[int, tuple[float, float]]:
        return {
            id(weight): (group['lr'], group['weight_decay'])
            for group in optimizer.param_groups
            for weight in group['params']
        }

    expected = options(build_optimizer(model, theirs.optimizer))
    assert options(optimizers.build_optimizer(model, ours)) == expected


@pytest.mark.parametrize('name', SAMPLE[::4])
def test_a_config_of_the_zoo_is_accepted(name: str, workspace: Path, run: Run) -> None:
    config = resolved(run, '--config', zoo_folder() / f'{name}.py')
    assert config['data']['classes']


def test_data_sets_must_share_their_pipeline_except_for_how_masks_are_read(own_config: Path) -> None:
    text = own_config.read_text()
    other = (
        "second = dict(data['train']['dataset'], pipeline=[train_pipeline[0]{}])\ndata['train'] = [second, second]\n"
    )
    own_config.write_text(text + other.format(', *train_pipeline[1:]'))
    assert len(load_config(own_config).values['data']['train']) == 2
    own_config.write_text(f"{text}{other.format('')}data['train'][1] = dict(second, pipeline=train_pipeline)\n")
    with pytest.raises(UsageError, match=r'data\.train\.1\.pipeline must be that of data\.train\.0'):
        load_config(own_config)


@pytest.mark.slow
def test_every_config_of_the_zoo_is_accepted(workspace: Path, run: Run) -> None:
    names = zoo_names()
    assert len(names) == 644
    distinct: dict[str, str] = {}
    data: dict[str, dict[str, Any]] = {}
    for name in names:
        settings = Settings().merged_with(WholeConfig(zoo_folder() / f'{name}.py').settings)
        values = {**settings.values, 'model': {**settings.values['model'], 'segmentor': None}}  # others build each
        distinct.setdefault(json.dumps(values), name)
        data.setdefault(json.dumps(values['data']), with_class_names(settings).values['data'])
    for arguments in data.values():
        SegmentationDataModule(**arguments)
    for name in distinct.values():
        assert resolved(run, '--config', f'{name}.py')['data']['classes'], name
