"""What is found in an environment, and what is said of it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seglight.errors import SetupError
from seglight.installation import requirements

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ('version', 'is_right'),
    [('2.6.0', True), ('2.6.0+cu124', True), ('2.15.0', True), ('2.5.1', False), ('2.16.0', False), ('3.0', False)],
)
def test_torch_lies_in_the_range(version: str, is_right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, 'torch_version', lambda: version)
    if is_right:
        requirements.check_torch()
        return
    with pytest.raises(SetupError, match=rf"torch must be >=2\.6,<2\.16, got {version}; run: pip install 'torch>=2\.6"):
        requirements.check_torch()


def test_the_range_is_that_of_the_package() -> None:
    first, end = requirements.TORCH
    assert f'"torch>={first},<{end}"' in (ROOT / 'pyproject.toml').read_text()


def test_the_workflow_tests_both_ends_of_the_range() -> None:
    workflow = yaml.safe_load((ROOT / '.github/workflows/test.yaml').read_text())
    tested = workflow['jobs']['torch']['strategy']['matrix']['torch']
    first, end = requirements.TORCH
    major, minor = tested[-1].split('.')
    assert (tested[0], f'{major}.{int(minor) + 1}') == (first, end)


@pytest.mark.parametrize('missing', ['torch', 'mmcv'])
@pytest.mark.parametrize('command', ['fit --config demo.yaml', 'predict --ckpt a', 'zoo', 'info a.ckpt', '--help'])
def test_every_command_names_setup_where_a_package_is_missing(missing: str, command: str) -> None:
    code = (
        'import importlib.util as u; find = u.find_spec;'
        f'u.find_spec = lambda name, *a: None if name == {missing!r} else find(name, *a);'
        f'from seglight.__main__ import run; raise SystemExit(run({command.split()!r}))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == f'seglight: {missing} is not installed; run: seglight setup\n'


def test_the_set_up_needs_the_standard_library_only() -> None:
    code = (
        'import sys; sys.path.insert(0, sys.argv[1]);'
        'from seglight.installation import mmcv, mmcv_wheel, pip, requirements, uv'
    )
    done = subprocess.run([sys.executable, '-S', '-c', code, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


#: Modules that other systems than Unix lack.
UNIX_ONLY = {'fcntl', 'grp', 'posix', 'pty', 'pwd', 'resource', 'syslog', 'termios', 'tty', 'curses', 'readline'}
#: Names of `os` and `signal` that Windows lacks.
UNIX_NAMES = {'fork', 'geteuid', 'getuid', 'mkfifo', 'setsid', 'uname', 'SIGKILL', 'SIGALRM', 'SIGHUP', 'SIGUSR1'}


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'seglight').rglob('*.py')), ids=lambda path: os.path.relpath(path, ROOT)
)
def test_nothing_needs_unix(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not UNIX_ONLY & {name.name.split('.')[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or '').split('.')[0] not in UNIX_ONLY
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ('os', 'signal'):
            assert node.attr not in UNIX_NAMES
