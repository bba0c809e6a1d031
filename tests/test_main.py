"""How the program is started."""

import subprocess
import sys
from pathlib import Path

import pytest

import seglight

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
