"""How the program is started."""

import subprocess
import sys
from pathlib import Path

import pytest

import seglight
from seglight.__main__ import _find_modules_here

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


def test_the_console_script_looks_for_modules_in_the_working_folder_last(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, 'path', ['/usr/bin', '/lib'])
    _find_modules_here()
    assert sys.path == ['/usr/bin', '/lib', str(workspace)]
    _find_modules_here()
    monkeypatch.setattr(sys, 'path', ['', '/lib'])  # of `python -m`, in some versions of Python
    _find_modules_here()
    assert sys.path == ['', '/lib']


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
