"""`seglight info`: what a checkpoint holds."""

import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import torch
import yaml
from conftest import Result

from seglight.models import Segmentor


def test_a_checkpoint_is_described(trained: Path, run: Callable[..., Result]) -> None:
    result = run('info', trained / 'epoch_2.ckpt')
    assert result.status == 0, result.err
    rows = dict(line.split(maxsplit=1) for line in result.out.split('\nconfig\n')[0].splitlines())
    module = Segmentor.load_from_checkpoint(trained / 'epoch_2.ckpt', weights_only=True)
    count = sum(parameter.numel() for parameter in module.parameters())
    assert rows['trained'] == '2 epochs, 4 steps'
    assert rows['parameters'] == f'{count / 1e6:.2f} M in all'
    assert rows['decode_head'].startswith('FCNHead')
    assert rows['torch'] == version('torch')
    logged = (trained / 'metrics.csv').read_text().splitlines()
    assert rows['val/mIoU'].endswith('%')
    miou = float(rows['val/mIoU'].split()[0]) / 100
    column = logged[0].split(',').index('val/mIoU')
    assert abs(miou - float([line.split(',')[column] for line in logged[1:] if line.split(',')[column]][-1])) < 1e-4


def test_its_config_is_the_runs(trained: Path, run: Callable[..., Result]) -> None:
    result = run('info', trained / 'epoch_2.ckpt', '--config')
    assert yaml.safe_load(result.out) == yaml.safe_load((trained / 'config.yaml').read_text())


def test_a_folder_means_its_best(trained: Path, run: Callable[..., Result]) -> None:
    assert 'best_mIoU' in run('info', trained).out.splitlines()[0]


def test_what_is_no_checkpoint_is_refused(trained: Path, run: Callable[..., Result]) -> None:
    result = run('info', trained / 'config.yaml')
    assert (result.status, result.out) == (2, '')
    assert 'config.yaml is not a checkpoint' in result.err


def test_a_name_cannot_pass_for_a_row(trained: Path, workspace: Path, run: Callable[..., Result]) -> None:
    content = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    config = yaml.safe_load(content['config'])
    config['data']['classes'] = ['a', 'b\nseglight: checked \x1b[1m']
    torch.save({**content, 'config': yaml.safe_dump(config)}, 'a.ckpt')
    lines = run('info', 'a.ckpt').out.splitlines()
    (row,) = (line for line in lines if 'seglight: checked' in line and not line.startswith((' ', '-')))
    assert row.split(maxsplit=1) == ['classes', '2: a, b?seglight: checked ?[1m']


def test_values_are_in_a_column_beside_names_in_korean(
    trained: Path, workspace: Path, run: Callable[..., Result]
) -> None:
    content = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    content['metrics'] = {'val/IoU.고양이고양이고양': 0.25, 'val/IoU.dog': 0.5}  # eight letters of two columns each
    torch.save(content, 'a.ckpt')
    lines = run('info', 'a.ckpt').out.splitlines()
    assert 'val/IoU.고양이고양이고양  25.00 %' in lines
    assert f'val/IoU.dog{" " * 13}  50.00 %' in lines


def test_without_a_checkpoint_the_versions_are_printed(workspace: Path, run: Callable[..., Result]) -> None:
    result = run('info')
    assert result.status == 0, result.err
    printed = yaml.safe_load(result.out)
    assert printed['packages']['torch'] == version('torch')
    assert printed['python'] == platform.python_version()
    assert printed['command'] == 'seglight info'


def test_the_config_of_no_checkpoint_is_refused(workspace: Path, run: Callable[..., Result]) -> None:
    result = run('info', '--config')
    assert (result.status, result.out) == (2, '')
    assert '--config needs a checkpoint' in result.err


def test_a_loss_is_no_percentage(trained: Path, workspace: Path, run: Callable[..., Result]) -> None:
    content = torch.load(trained / 'epoch_2.ckpt', weights_only=True)
    content['metrics'] |= {'val/loss': 3.35249, 'val/mDice': 0.25}
    torch.save(content, 'a.ckpt')
    shown = run('info', 'a.ckpt').out.split('\nconfig\n')[0]
    rows = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert (rows['val/loss'], rows['val/mDice']) == ('3.352', '25.00 %')
