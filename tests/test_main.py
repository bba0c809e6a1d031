"""How the program is started."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

import seglight
from seglight.own_modules import find_named, leave_working_folder

CONSOLE_SCRIPT = Path(sys.executable).with_name('seglight')


@pytest.mark.parametrize('command', [[sys.executable, '-m', 'seglight'], [str(CONSOLE_SCRIPT)]])
def test_the_version_is_told_without_loading_torch(command: list[str]) -> None:
    done = subprocess.run([*command, '--version'], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f'seglight {seglight.__version__}\n')
    check = 'import sys; sys.argv[1:] = ["--version"]; from seglight.__main__ import main; main(); assert "torch" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', check], capture_output=True).returncode == 0


def test_help_lists_the_commands() -> None:
    done = subprocess.run([sys.executable, '-m', 'seglight', '--help'], capture_output=True, text=True)
    assert done.returncode == 0
    assert all(name in done.stdout for name in ('fit', 'validate', 'test', 'predict'))
    assert done.stderr == ''


@pytest.mark.parametrize('first', ['', None])
def test_the_working_folder_is_searched_last_and_only_for_modules_that_the_user_names(
    first: str | None, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = str(workspace)
    (workspace / 'own_loss.py').touch()
    (workspace / 'torch_xla.py').touch()
    (workspace / 'json.py').touch()
    monkeypatch.setattr(sys, 'path', [here if first is None else first, '/lib'])
    leave_working_folder()
    leave_working_folder()
    assert sys.path == ['/lib']
    find_named({'class_path': 'torch.nn.Linear', 'a': ['json.JSONDecoder', 'own_loss', 'x.own_loss.X', 5, None]})
    assert sys.path == ['/lib']
    find_named({'losses': [{'class_path': 'own_loss.Focal'}]})
    find_named('--trainer.callbacks+=own_loss.X')
    assert sys.path == ['/lib', here]


@pytest.mark.slow
def test_no_module_of_the_working_folder_runs_that_the_user_does_not_name(tiny_config: Path) -> None:
    for name in ('torch_xla', 'comet_ml', 'neptune', 'monai', 'deepspeed', 'bitsandbytes', 'transformer_engine'):
        Path(f'{name}.py').write_text(f'open("ran_{name}", "w")\n')
    words = [sys.executable, '-m', 'seglight', 'fit', '-c', str(tiny_config), '--trainer.fast_dev_run=1']
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(Path().glob('ran_*'))


def test_a_working_folder_that_was_deleted_is_no_fault(workspace: Path) -> None:
    workspace.rmdir()
    done = subprocess.run([sys.executable, '-m', 'seglight', '--version'], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.slow
@pytest.mark.parametrize('command', [[sys.executable, '-m', 'seglight'], [str(CONSOLE_SCRIPT)]])
def test_classes_in_the_working_folder_are_found(command: list[str], tiny_config: Path) -> None:
    Path('own_callback.py').write_text('import pytorch_lightning\nclass Own(pytorch_lightning.Callback):\n    pass\n')
    words = [*command, 'fit', '-c', str(tiny_config), '--trainer.callbacks+=own_callback.Own', '--print_config']
    done = subprocess.run(words, capture_output=True, text=True)
    assert 'class_path: own_callback.Own' in done.stdout, done.stderr


def test_folders_named_like_groups_of_a_config_and_files_are_no_modules(
    tiny_config: Path, data_root: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('data', 'model', 'trainer', 'tiny', 'best', 'work_dirs'):
        Path(name).mkdir()
        Path(name, '__init__.py').touch()
    Path('v2').mkdir()
    monkeypatch.setattr(sys, 'path', [each for each in sys.path if each not in ('', str(Path.cwd()))])
    flags = [f'--data.root={data_root}', '--trainer.max_epochs=1', '--model.channels_last=false', '--seed=1']
    done = run('fit', '--config', tiny_config.name, *flags, '--load-from', 'best.ckpt', '--print_config')
    assert done.status == 0, done.err
    find_named(['/mnt/data.v2', 'x-data.v2', 'v2.data', 'v2.jpg'])
    assert str(Path.cwd()) not in sys.path
    find_named(['best.Own'])
    assert sys.path[-1] == str(Path.cwd())
