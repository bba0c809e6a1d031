"""What used to end in a traceback, in advice that was no help, or in silence: typed as a user would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Result
from pytorch_lightning import Callback

from seglight.models import Segmentor

Run = Callable[..., Result]


def printed(run: Run, *flags: str | Path) -> dict[str, Any]:
    result = run('fit', '--config', 'tiny.yaml', *flags, '--print_config')
    assert result.status == 0, result.err
    config: dict[str, Any] = yaml.safe_load(result.out)
    return config


def refused(result: Result) -> str:
    assert result.status == 2, result
    [line] = result.err.splitlines()
    assert line.startswith('seglight: ')
    assert len(line) < 700
    return line


@pytest.mark.parametrize(
    'value',
    [
        "dict(type='GN',num_groups=8)",
        "dict(type='GN', num_groups=8)",
        "{'type':'GN','num_groups':8}",
        '{"type": "GN", "num_groups": 8}',
        '{type: GN, num_groups: 8}',
        'dict(dict(type="GN"), num_groups=2**3)',
    ],
)
def test_cfg_options_take_dicts(value: str, tiny_config: Path, run: Run) -> None:
    config = printed(run, '--cfg-options', f'model.decode_head.norm_cfg={value}')
    norm = config['model']['segmentor']['decode_head']['norm_cfg']
    assert {'type': norm['type'], 'num_groups': norm['num_groups']} == {'type': 'GN', 'num_groups': 8}


def test_cfg_options_take_lists_of_dicts(tiny_config: Path, run: Run) -> None:
    value = "[dict(type='CrossEntropyLoss'),dict(type='DiceLoss',loss_weight=3.0)]"
    config = printed(run, '--cfg-options', f'model.decode_head.loss_decode={value}')
    losses = config['model']['segmentor']['decode_head']['loss_decode']
    assert losses == [{'type': 'CrossEntropyLoss'}, {'type': 'DiceLoss', 'loss_weight': 3.0}]


@pytest.mark.parametrize(
    ('value', 'said'),
    [
        ('{a: b: c}', "'{a: b: c}' is not a dict; write it as {type: GN, num_groups: 8}"),
        ('dict(open("a"))', 'is not a dict'),
        ('(a),(b)', "unbalanced brackets in '(a),(b)'; write a list as [(a,b),(c,d)]"),
        ('[(a,b]', 'unbalanced brackets'),
    ],
)
def test_cfg_options_that_cannot_be_read_say_which_form_works(
    value: str, said: str, tiny_config: Path, run: Run
) -> None:
    assert said in refused(run('fit', '-c', tiny_config, '--cfg-options', f'model.decode_head.norm_cfg={value}'))


@pytest.mark.parametrize(
    'flags',
    [
        ['--cfg-options', 'lr_config._delete_=True', 'lr_config.policy=step', 'lr_config.step=[1,2]'],
        ['--cfg-options', 'lr_config.policy=step', 'lr_config._delete_=True', 'lr_config.step=[1,2]'],
        ['--model.schedule._delete_=true', '--model.schedule.policy=step', '--model.schedule.step=[1,2]'],
        ['--model.schedule={_delete_: true, policy: step, step: [1, 2]}'],
    ],
)
def test_a_dotted_delete_drops_what_the_configs_say(flags: list[str], tiny_config: Path, run: Run) -> None:
    assert printed(run, *flags)['model']['schedule'] == {'policy': 'step', 'step': [1, 2]}


def test_a_dotted_delete_reaches_items_of_lists_and_deep_dicts(tiny_config: Path, run: Run) -> None:
    config = printed(
        run,
        '--data.train_transforms.1._delete_=true',
        '--data.train_transforms.1.type=VerticalFlip',
        '--model.segmentor.decode_head.norm_cfg._delete_=true',
        '--model.segmentor.decode_head.norm_cfg.type=BN',
        '--model.segmentor.auxiliary_head._delete_=false',
    )
    assert config['data']['train_transforms'][1] == {'type': 'VerticalFlip'}
    assert config['model']['segmentor']['decode_head']['norm_cfg'] == {'type': 'BN'}
    assert config['model']['segmentor']['auxiliary_head']['type'] == 'FCNHead'


REFUSED = {
    'a module that is not there': (
        ['--trainer.callbacks+=no_mod.C'],
        "--trainer.callbacks+=no_mod.C: trainer.callbacks: unknown module 'no_mod', neither installed nor in the working folder",
    ),
    'a logger of an unknown module': (['--trainer.logger=no_mod.C'], "unknown module 'no_mod'"),
    'an argument of the wrong type': (
        ['--trainer.callbacks+=EarlyStopping', '--trainer.callbacks.monitor=val/mIoU', '--trainer.callbacks.patience=three'],
        "--trainer.callbacks.patience=three: trainer.callbacks: patience: expected int, got 'three'",
    ),
    'an argument of one of several wrong types': (
        ['--trainer.callbacks+=EarlyStopping', '--trainer.callbacks.monitor=val/mIoU', '--trainer.callbacks.stopping_threshold=three'],
        "trainer.callbacks: stopping_threshold: expected float, null, got 'three'",
    ),
    'an argument that is not there': (
        ['--trainer.callbacks+=EarlyStopping', '--trainer.callbacks.monitor=val/mIoU', '--trainer.callbacks.patienc=3'],
        "EarlyStopping has no argument 'patienc'; did you mean 'patience'?",
    ),
    'two callbacks of equal settings': (
        ['--trainer.callbacks+=ModelCheckpoint', '--trainer.callbacks+=ModelCheckpoint'],
        'trainer.callbacks: two callbacks ModelCheckpoint have the same settings',
    ),
}  # fmt: skip


@pytest.mark.parametrize('case', REFUSED)
def test_what_lightning_refuses_is_one_line(case: str, tiny_config: Path, run: Run) -> None:
    flags, said = REFUSED[case]
    assert said in refused(run('fit', '-c', tiny_config, *flags))
    assert not Path('work_dirs').exists()


def test_a_wrong_type_in_a_config_is_told_with_its_line(tiny_config: Path, run: Run) -> None:
    callback = {'class_path': 'EarlyStopping', 'init_args': {'monitor': 'val/mIoU', 'patience': 'three'}}
    Path('own.yaml').write_text(yaml.safe_dump({'trainer': {'callbacks': [callback]}}))
    line = refused(run('fit', '-c', tiny_config, '-c', 'own.yaml'))
    assert line == "seglight: own.yaml:2: trainer.callbacks: patience: expected int, got 'three'"


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('no', "expected str, got 'False'; yes, no, on and off are truth values in YAML: put the word in quotes"),
        ('12', "expected str, got '12'; put it in quotes"),
    ],
)
def test_a_class_whose_name_is_no_text_in_yaml_is_told(name: str, said: str, tiny_config: Path, run: Run) -> None:
    Path('own.yaml').write_text(f'_base_: tiny.yaml\ndata:\n  classes: [background, {name}]\n')
    assert refused(run('fit', '-c', 'own.yaml')) == f'seglight: own.yaml:3: data.classes: {said}'


def test_a_task_of_slurm_in_the_environment_is_one_line(
    tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('SLURM_NTASKS', '2')
    assert 'unset SLURM_NTASKS' in refused(run('fit', '-c', tiny_config))


@pytest.mark.parametrize(
    ('callback', 'monitor', 'said'),
    [
        ('EarlyStopping', 'val/mIou', "EarlyStopping has the monitor 'val/mIou', which is not logged; did you mean 'val/mIoU'?; logged are: "),
        ('ModelCheckpoint', 'val/nothing', "ModelCheckpoint has the monitor 'val/nothing', which is not logged"),
        ('ModelCheckpoint', 'train/nothing', "ModelCheckpoint has the monitor 'train/nothing', which is not logged"),
        ('EarlyStopping', 'nothing', 'nothing'),
    ],
)  # fmt: skip
def test_a_figure_that_nothing_logs_ends_the_run_before_it_starts(
    callback: str, monitor: str, said: str, tiny_config: Path, run: Run
) -> None:
    result = run('fit', '-c', tiny_config, f'--trainer.callbacks+={callback}', f'--trainer.callbacks.monitor={monitor}')
    line = refused(result)
    assert said in line
    assert 'val/mIoU' in line
    assert result.out == ''
    assert not list(Path().glob('work_dirs/*'))


class Own(Callback):
    """A callback that may log anything."""


@pytest.mark.parametrize('name', ['val/mIou', 'val/own'])
def test_a_callback_of_the_users_may_log_what_is_watched(name: str, tiny_config: Path, run: Run) -> None:
    """The first validation tells."""
    flags = [f'--trainer.callbacks+={__name__}.Own', '--trainer.callbacks+=EarlyStopping']
    result = run('fit', '-c', tiny_config, *flags, f'--trainer.callbacks.monitor={name}')
    assert f"EarlyStopping has the monitor '{name}', which is not logged" in refused(result)
    assert 'Run  ' in result.out


def test_figures_that_are_logged_end_nothing(tiny_config: Path, run: Run) -> None:
    flags = [
        '--trainer.callbacks+=EarlyStopping',
        '--trainer.callbacks.monitor=val/IoU.Paper',
        '--trainer.callbacks.mode=max',
    ]
    flags += ['--trainer.callbacks+=ModelCheckpoint', '--trainer.callbacks.monitor=train/loss']
    assert run('fit', '-c', tiny_config, *flags, '--trainer.check_val_every_n_epoch=2').status == 0


def test_nothing_is_logged_where_no_logger_is_wanted(tiny_config: Path, run: Run) -> None:
    assert run('fit', '-c', tiny_config, '--trainer.logger=false').status == 0
    names = {path.name for path in Path('work_dirs/exp1').iterdir()}
    assert 'epoch_2.ckpt' in names
    assert not names & {'metrics.csv', 'tensorboard', 'lightning_logs'}


def test_an_accumulation_that_changes_is_counted_epoch_by_epoch(tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.callbacks+=GradientAccumulationScheduler', '--trainer.callbacks.scheduling={0: 1, 2: 2}']
    result = run(
        'fit',
        '-c',
        tiny_config,
        *flags,
        '--trainer.max_epochs=4',
        '--model.schedule={_delete_: true, policy: poly, power: 1.0}',
    )
    assert result.status == 0, result.err
    steps = 2 + 2 + 1 + 1  # 8 images in batches of 4
    assert f', {steps} steps, ' in result.out
    checkpoint = torch.load('work_dirs/exp1/epoch_4.ckpt', weights_only=True)
    assert checkpoint['global_step'] == steps
    rates = [row.split(',') for row in Path('work_dirs/exp1/metrics.csv').read_text().splitlines()]
    place = rates[0].index('lr-SGD')
    logged = [float(row[place]) for row in rates[1:] if row[place]]
    assert logged == pytest.approx([0.01 * (1 - step / steps) for step in (0, 1, 2, 3, 4, 5)][: len(logged)], rel=1e-3)


def test_a_schedule_by_epochs_and_an_accumulation_that_changes_are_refused(tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.callbacks+=GradientAccumulationScheduler', '--trainer.callbacks.scheduling={0: 1, 1: 2}']
    assert 'model.schedule must count steps' in refused(
        run('fit', '-c', tiny_config, *flags, '--model.schedule.by_epoch=true')
    )


def test_home_is_meant_by_a_tilde_everywhere(
    tiny_config: Path, data_root: Path, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / 'home'
    (home / 'configs').mkdir(parents=True)
    (home / 'data').symlink_to(data_root)
    monkeypatch.setenv('HOME', str(home))
    (home / 'configs/tiny.yaml').write_text(tiny_config.read_text())
    Path('own.yaml').write_text(
        '_base_: ~/configs/tiny.yaml\ndata: {root: ~/data, val: [{type: FolderSource, img_dir: ~/data/img_dir/val, ann_dir: ~/data/ann_dir/val}]}\n'
    )
    config = yaml.safe_load(run('fit', '-c', 'own.yaml', '--work-dir=~/run', '--print_config').out)
    assert config['data']['root'] == str(home / 'data')
    assert config['data']['val'][0]['img_dir'] == f'{home}/data/img_dir/val'
    assert config['work_dir'] == str(home / 'run')
    flags = ['--cfg-options', 'load_from=~/w.ckpt', 'data.root=~/data']
    config = yaml.safe_load(run('fit', '-c', '~/configs/tiny.yaml', *flags, '--print_config').out)
    assert (config['load_from'], config['data']['root']) == (f'{home}/w.ckpt', f'{home}/data')
    result = run('info', '~/none.ckpt')
    assert f"'{home}/none.ckpt' was not found" in result.err


def test_a_try_of_a_batch_says_what_it_did(tiny_config: Path, run: Run) -> None:
    result = run('fit', '-c', tiny_config, '--trainer.fast_dev_run=true')
    assert (result.status, result.err) == (0, '')
    assert result.out.endswith(
        'Tried      1 batch each of train and val, without errors; nothing was written (trainer.fast_dev_run)\n'
    )
    assert not Path('work_dirs').exists()


def test_a_run_of_two_classes_and_of_a_binary_head_is_quiet(recwarn: pytest.WarningsRecorder) -> None:
    from seglight.compat import silence_notices

    silence_notices()
    head = {'type': 'FCNHead', 'in_channels': 32, 'in_index': 3, 'channels': 8, 'num_convs': 1, 'num_classes': 2}
    backbone = {'type': 'ResNetV1c', 'depth': 18, 'base_channels': 4, 'stem_channels': 4}
    for options in ({}, {'out_channels': 1, 'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': True}}):
        Segmentor(
            {'type': 'EncoderDecoder', 'backbone': backbone, 'decode_head': {**head, **options}}, classes=['a', 'b']
        )
    assert not [each for each in recwarn if 'binary' in str(each.message)]


def test_a_config_with_weights_averaged_trains_the_same_again(tiny_config: Path, run: Run) -> None:
    flags = ['--trainer.callbacks+=StochasticWeightAveraging', '--trainer.callbacks.swa_lrs=0.01']
    assert run('fit', '-c', tiny_config, *flags, '--work-dir=a').status == 0
    stored = yaml.safe_load(Path('a/config.yaml').read_text())
    assert stored['trainer']['callbacks'][0]['init_args']['device'] == 'cpu'
    result = run('fit', '-c', 'a/config.yaml', '--work-dir=b')
    assert result.status == 0, result.err
    first, second = (torch.load(f'{name}/last.ckpt', weights_only=True)['state_dict'] for name in 'ab')
    assert all(torch.equal(first[name], second[name]) for name in first)


#: Classes of Lightning whose arguments have defaults that a config cannot hold as they are, or need something.
PARTS: dict[str, dict[str, list[str]]] = {
    'callbacks+': {
        'DeviceStatsMonitor': [],
        'EMAWeightAveraging': [],
        'EarlyStopping': ['monitor=val/mIoU', 'mode=max'],
        'GradientAccumulationScheduler': ['scheduling={0: 1, 1: 2}'],
        'LearningRateMonitor': [],
        'ModelCheckpoint': ['train_time_interval=0:10:00'],
        'ModelSummary': [],
        'RichModelSummary': [],
        'RichProgressBar': [],
        'StochasticWeightAveraging': ['swa_lrs=0.01'],
        'TQDMProgressBar': [],
        'Timer': ['duration=00:01:00:00'],
    },
    'logger': {'CSVLogger': ['save_dir=logs'], 'TensorBoardLogger': ['save_dir=logs']},
    'profiler': {'AdvancedProfiler': [], 'PyTorchProfiler': [], 'SimpleProfiler': []},
    'strategy': {'DDPStrategy': [], 'FSDPStrategy': [], 'SingleDeviceStrategy': ['device=cpu']},
    'plugins': {'AsyncCheckpointIO': [], 'HalfPrecision': [], 'MixedPrecision': ['precision=bf16-mixed', 'device=cpu']},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(('key', 'name'), [(key, name) for key, names in PARTS.items() for name in names])
def test_a_printed_config_with_parts_of_lightning_is_a_config(key: str, name: str, tiny_config: Path, run: Run) -> None:
    flags = [f'--trainer.{key}={name}', *(f'--trainer.{key.rstrip("+")}.{flag}' for flag in PARTS[key][name])]
    config = printed(run, *flags)
    assert 'Unable to serialize' not in str(config)
    Path('again.yaml').write_text(yaml.safe_dump(config))
    assert yaml.safe_load(run('fit', '-c', 'again.yaml', '--print_config').out) == config


@pytest.mark.slow
def test_classes_with_names_that_look_like_formulas_and_markup_are_drawn(
    data_root: Path, tiny_config: Path, run: Run
) -> None:
    names = [r'$\foo{$', '[/red]', '$x', r'\frac', '木', '_under', '<b>', '{{ x }}', '%d', 'a\tb', '~']
    flags = [f'--data.classes={yaml.safe_dump(names, default_flow_style=True)}', '--data.palette=null', '--report=true']
    result = run('fit', '-c', tiny_config, *flags)
    assert (result.status, result.err) == (0, '')
    assert Path('work_dirs/exp1/report.html').is_file()
    assert Path('work_dirs/exp1/report.html').stat().st_size > 10_000
