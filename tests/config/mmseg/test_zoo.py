"""`model.zoo`: mmseg's configs by name, a user's by path, and what is laid over them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Result
from mmcv import Config
from mmcv.runner.hooks import HOOKS

from seglight.config.files import load_config
from seglight.config.mmseg.model_and_schedule import schedule_settings
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.mmseg.zoo import find_zoo, zoo_names
from seglight.errors import ConfigError
from seglight.models.schedules import find_updater

PSPNET = 'pspnet/pspnet_r50-d8_512x512_40k_voc12aug'
Run = Callable[..., Result]


def as_mmseg_reads(name: str) -> dict[str, object]:
    return dict(Config.fromfile(str(zoo_folder() / f'{name}.py')).model.to_dict())


def write(folder: Path, name: str, **config: object) -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(config))
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def test_a_name_fills_the_model_dict(tmp_path: Path) -> None:
    path = write(tmp_path, 'a.yaml', model={'zoo': PSPNET})
    assert load_config(path).values['model']['segmentor'] == _plain(as_mmseg_reads(PSPNET))


def test_the_name_may_lack_its_folder_or_be_a_path(tmp_path: Path) -> None:
    expected = zoo_folder() / f'{PSPNET}.py'
    assert find_zoo(PSPNET) == find_zoo(PSPNET.split('/')[1]) == find_zoo(f'configs/{PSPNET}.py') == expected
    assert find_zoo(str(expected)) == expected


def test_the_files_own_keys_are_laid_over_it(tmp_path: Path) -> None:
    path = write(tmp_path, 'a.yaml', model={'zoo': PSPNET, 'segmentor': {'decode_head': {'channels': 64}}})
    head = load_config(path).values['model']['segmentor']['decode_head']
    assert head['channels'] == 64
    assert head['type'] == 'PSPHead'


def test_what_is_inherited_is_replaced_and_what_inherits_merges(tmp_path: Path) -> None:
    write(tmp_path, 'base.yaml', model={'segmentor': {'neck': {'type': 'FPN'}}, 'channels_last': True})
    write(tmp_path, 'middle.yaml', _base_='base.yaml', model={'zoo': PSPNET})
    path = write(tmp_path, 'top.yaml', _base_='middle.yaml', model={'segmentor': {'backbone': {'depth': 101}}})
    model = load_config(path).values['model']
    assert 'neck' not in model['segmentor']
    assert (model['segmentor']['backbone']['depth'], model['channels_last']) == (101, True)
    assert model['segmentor']['backbone']['type'] == 'ResNetV1c'


def test_a_users_own_config_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'own.py').write_text(f"_base_ = '{zoo_folder() / PSPNET}.py'\nmodel = dict(pretrained=None)\n")
    path = write(tmp_path / 'mine', 'a.yaml', model={'zoo': 'own.py'})
    segmentor = load_config(path).values['model']['segmentor']
    assert segmentor == {**_plain(as_mmseg_reads(PSPNET)), 'pretrained': None}


@pytest.mark.parametrize('policy', ["'step', step=[3, 5]", "'OneCycle', max_lr=0.1", "'cyclic'"])
def test_a_schedule_that_does_not_say_what_it_counts_counts_what_mmcv_counts(policy: str, tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text(f"optimizer = dict(type='SGD', lr=0.1)\nlr_config = dict(policy={policy})\n")
    path = write(tmp_path, 'a.yaml', model={'zoo_schedule': 'own.py'})
    schedule = load_config(path).values['model']['schedule']
    arguments = {name: value for name, value in schedule.items() if name not in ('policy', 'by_epoch', '_delete_')}
    name = {'step': 'Step', 'OneCycle': 'OneCycle', 'cyclic': 'Cyclic'}[schedule['policy']]
    theirs = HOOKS.get(f'{name}LrUpdaterHook')(**arguments)
    assert find_updater({**schedule}).by_epoch == theirs.by_epoch


def test_the_images_are_normalised_as_the_zoos(tmp_path: Path) -> None:
    path = write(tmp_path, 'a.yaml', model={'zoo': 'segmenter/segmenter_vit-t_mask_8x1_512x512_160k_ade20k'})
    assert load_config(path).values['model']['mean'] == [127.5, 127.5, 127.5]


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('import os\nmodel = dict()', 'own.py:1'),
        ('model = dict(\n    a=open("x").read())', 'own.py:2'),
        ('model = ().__class__', 'own.py:1'),
        ('model = __builtins__', '__builtins__'),
        ('model = [exec("x=1")]', 'a call of exec'),
        ('model = (lambda: 1)()', 'own.py:1'),
        ('def f():\n    pass', 'own.py:1'),
        ("_base_ = 'evil.py'", 'evil.py:2'),
        ('model = dict(', 'own.py:1: not valid Python'),
        ("_base_ = 'nowhere.py'", 'nowhere.py'),
        ("_base_ = 'own.py'", 'leads back'),
        ('x = 1', 'without a model'),
    ],
)
def test_code_in_a_config_is_refused_before_it_runs(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'own.py').write_text(text)
    (tmp_path / 'evil.py').write_text(f'x = 1\nopen({str(tmp_path / "ran")!r}, "w")\n')
    path = write(tmp_path, 'a.yaml', model={'zoo': 'own.py'})
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert said in str(error.value)
    assert not (tmp_path / 'ran').exists()


def test_every_config_of_mmseg_is_harmless_and_read_as_mmcv_reads_it(tmp_path: Path) -> None:
    names = zoo_names()
    assert len(names) > 600
    for name in names[::40]:
        path = write(tmp_path, 'a.yaml', model={'zoo': name})
        assert load_config(path).values['model']['segmentor'] == _plain(as_mmseg_reads(name)), name


def test_on_the_command_line_it_replaces_the_configs_model_and_flags_change_it(tiny_config: Path, run: Run) -> None:
    flags = [f'--model.zoo={PSPNET}', '--model.segmentor.decode_head.channels=8', '--print_config']
    segmentor = yaml.safe_load(run('fit', '--config', tiny_config, *flags).out)['model']['segmentor']
    expected = _plain(as_mmseg_reads(PSPNET))
    assert isinstance(expected, dict)
    expected['decode_head']['channels'] = 8
    assert segmentor == expected


def test_a_wrong_name_is_told_with_the_nearest(tiny_config: Path, run: Run) -> None:
    result = run('fit', '--config', tiny_config, '--model.zoo', 'pspnet/pspnet_r50-d8_512x512_40k_voc12agu')
    assert result.status == 2
    assert '--model.zoo pspnet/pspnet_r50-d8_512x512_40k_voc12agu' in result.err
    assert f"did you mean '{PSPNET}'?" in result.err


def test_it_trains(tiny_config: Path, run: Run) -> None:
    fast = 'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes'
    result = run('fit', '--config', tiny_config, '--model.zoo', fast, '--debug=1')
    assert result.status == 0, result.err
    stored = yaml.safe_load(Path('work_dirs/exp1/config.yaml').read_text())
    assert stored['model']['segmentor']['backbone']['type'] == 'FastSCNN'
    assert 'zoo' not in stored['model']


def test_the_schedule_of_the_zoo_is_that_of_mmseg(tiny_config: Path, run: Run) -> None:
    for name in (
        'swin/upernet_swin_tiny_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K',
        'beit/upernet_beit-base_8x2_640x640_160k_ade20k',
        'knet/knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k',
        'cgnet/cgnet_512x1024_60k_cityscapes',
    ):
        theirs = Config.fromfile(str(zoo_folder() / f'{name}.py'))
        result = run('fit', '--config', tiny_config, '--model.zoo', name, '--model.zoo_schedule=true', '--print_config')
        assert result.status == 0, result.err
        ours = yaml.safe_load(result.out)
        assert ours['model']['optimizer'] == _plain(theirs.optimizer.to_dict())
        assert ours['model']['schedule'] == _plain(theirs.lr_config.to_dict())
        steps = theirs.runner.max_iters if theirs.get('runner') else theirs.total_iters
        assert (ours['trainer']['max_steps'], ours['trainer']['max_epochs']) == (steps, -1)
        grad_clip = theirs.optimizer_config.get('grad_clip')
        assert ours['trainer']['gradient_clip_val'] == (grad_clip.max_norm if grad_clip else None)


def test_a_run_takes_the_zoos_schedule_but_its_own_model(tiny_config: Path, run: Run) -> None:
    flags = ['--model.zoo_schedule', PSPNET, '--trainer.max_steps=2', '--trainer.max_epochs=-1']
    result = run('fit', '--config', tiny_config, *flags)
    assert result.status == 0, result.err
    stored = yaml.safe_load(Path('work_dirs/exp1/config.yaml').read_text())
    assert stored['model']['schedule']['min_lr'] == 1e-4
    assert stored['model']['segmentor']['backbone']['base_channels'] == 8


def test_true_needs_a_model_of_the_zoo(tiny_config: Path, run: Run) -> None:
    result = run('fit', '--config', tiny_config, '--model.zoo_schedule=true')
    assert result.status == 2
    assert 'needs model.zoo' in result.err


def test_model_and_schedule_of_the_zoo_replace_what_is_inherited_together(tiny_config: Path, run: Run) -> None:
    fast = 'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes'
    result = run('fit', '--config', tiny_config, '--model.zoo', fast, '--model.zoo_schedule=true', '--print_config')
    ours = yaml.safe_load(result.out)['model']
    assert ours['segmentor'] == _plain(as_mmseg_reads(fast))
    assert ours['optimizer'] == {'type': 'SGD', 'lr': 0.12, 'momentum': 0.9, 'weight_decay': 4e-05}


@pytest.mark.parametrize(
    ('length', 'steps', 'epochs', 'by_epoch'),
    [
        ({'total_epochs': 20}, -1, 20, True),
        ({'total_iters': 400}, 400, -1, False),
        ({'runner': {'type': 'IterBasedRunner', 'max_iters': 400}}, 400, -1, False),
        ({'runner': {'type': 'EpochBasedRunner', 'max_epochs': 20}, 'total_iters': 3}, -1, 20, True),
    ],
)
def test_the_length_of_old_configs_counts_too(length: dict[str, Any], steps: int, epochs: int, by_epoch: bool) -> None:
    config = {'optimizer': {'type': 'SGD', 'lr': 0.1}, 'lr_config': {'policy': 'poly'}, **length}
    settings = schedule_settings(config)
    assert (settings['trainer']['max_steps'], settings['trainer']['max_epochs']) == (steps, epochs)
    assert settings['model']['schedule']['by_epoch'] is by_epoch
