"""What the set-up says where the machine lacks something, and when it has nothing to do."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import bootstrap as program
import pytest

from seglight.errors import SetupError
from seglight.installation.pip import UnwritableError

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='a script of bash')

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without .venv, as far as the set-up reads it."""
    shutil.copytree(ROOT / 'scripts', tmp_path / 'scripts')
    shutil.copytree(ROOT / 'seglight' / 'installation', tmp_path / 'seglight' / 'installation')
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    return tmp_path


def bootstrap(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {'PATH': '/usr/bin:/bin', 'PYTHON': sys.executable, **environment}
    return subprocess.run([checkout / 'scripts' / 'bootstrap'], env=env, capture_output=True, text=True)


def fake_python(path: Path, refuses: str) -> str:
    """Write a Python that fails whenever its code contains a text."""
    path.write_text(f'#!/bin/bash\ncase "$*" in *{refuses}*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def state(checkout: Path) -> str:
    """Return what the stamp of a complete .venv has."""
    scripts = [f'scripts/{name}' for name in ('bootstrap', 'bootstrap.py', 'constraints.txt', 'torch.txt')]
    files = f'pyproject.toml {" ".join(scripts)} seglight/installation/*.py'
    checksum = subprocess.run(f'cat {files} | cksum', shell=True, cwd=checkout, capture_output=True, text=True)
    return f'{checkout.resolve()}\n{checksum.stdout}'


def make_venv(checkout: Path, stamp: str | None) -> Path:
    """Make a .venv with a file of its own, and the stamp of a set-up unless that is None."""
    venv = checkout / '.venv'
    (venv / 'bin').mkdir(parents=True)
    (venv / 'bin' / 'python').symlink_to(sys.executable)
    (venv / 'own').touch()
    if stamp is not None:
        (venv / 'seglight-bootstrap').write_text(stamp)
    return venv


@pytest.mark.parametrize(
    ('refuses', 'said'),
    [
        ('version_info', f'PYTHON must be Python 3.10 to 3.13, got {{}} (Python {platform.python_version()})'),
        ('*', 'PYTHON must be Python 3.10 to 3.13, got {} (not a Python)'),
        ('ensurepip', '{} has no venv module; install it (Debian: apt install python3-venv)'),
    ],
)
def test_a_python_that_lacks_something_is_one_line(checkout: Path, tmp_path: Path, refuses: str, said: str) -> None:
    python = fake_python(tmp_path / 'a python', refuses)
    done = bootstrap(checkout, PYTHON=python)
    assert (done.returncode, done.stderr) == (2, f'seglight: {said.format(python)}\n')
    assert not (checkout / '.venv').exists()


def test_a_machine_without_a_python_is_one_line(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / 'tools'
    tools.mkdir()
    for name in ('bash', 'cat', 'cksum', 'dirname', 'flock', 'ls', 'readlink'):
        (tools / name).symlink_to(shutil.which(name) or pytest.skip(f'no {name}'))
    done = bootstrap(checkout, PYTHON='', PATH=str(tools))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert 'no Python 3.10 to 3.13 was found; install one' in done.stderr


def test_it_does_nothing_until_what_it_is_made_from_changes(checkout: Path) -> None:
    venv = make_venv(checkout, state(checkout))
    done = bootstrap(checkout, PYTHON='/no/such/python')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    (checkout / 'scripts' / 'bootstrap.py').write_text('import sys; sys.exit("seglight: the disk is full")')
    assert bootstrap(checkout).stderr == 'seglight: the disk is full\n'
    assert (venv / 'own').exists()


@pytest.mark.parametrize('stamp', ['', '/the/original\n123 45\n'], ids=['interrupted', 'moved or copied'])
def test_an_environment_that_cannot_be_used_is_made_anew(checkout: Path, stamp: str) -> None:
    venv = make_venv(checkout, stamp)
    (checkout / 'scripts' / 'bootstrap.py').write_text('import sys; sys.exit("seglight: the disk is full")')
    done = bootstrap(checkout, PYTHONHOME='/of/another/python')
    assert (done.returncode, done.stderr) == (1, 'seglight: the disk is full\n')
    assert not (venv / 'own').exists()
    assert (venv / 'seglight-bootstrap').read_text() == ''


def test_an_environment_that_was_moved_is_not_complete(checkout: Path) -> None:
    make_venv(checkout, state(checkout))
    moved = checkout.rename(checkout.with_name('moved'))
    done = bootstrap(moved, PYTHON='/no/such/python')
    assert (done.returncode, done.stderr) == (
        2,
        'seglight: PYTHON must be Python 3.10 to 3.13, got /no/such/python (not a Python)\n',
    )


def test_an_environment_of_the_user_is_never_changed(checkout: Path) -> None:
    venv = make_venv(checkout, None)
    before = sorted(venv.rglob('*'))
    for _ in range(2):
        done = bootstrap(checkout)
        cure = 'was not made by scripts/bootstrap; rename or remove it and try again'
        assert (done.returncode, done.stderr) == (2, f'seglight: {venv} {cure}\n')
    assert sorted(venv.rglob('*')) == before


@pytest.mark.parametrize('script', ['seglight', 'test'])
def test_scripts_find_their_clone_through_a_link(script: str, checkout: Path, tmp_path: Path) -> None:
    venv = make_venv(checkout, state(checkout))
    for name in ('python', 'ruff', 'mypy'):
        (venv / 'bin' / name).unlink(missing_ok=True)
        (venv / 'bin' / name).symlink_to('/bin/echo')
    link = tmp_path / 'elsewhere' / 'bin' / script
    link.parent.mkdir(parents=True)
    link.symlink_to(checkout / 'scripts' / script)
    done = subprocess.run([link, '--version'], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.splitlines()[-1].endswith('--version')


def test_ctrl_c_is_one_line(checkout: Path, tmp_path: Path) -> None:
    started, python = tmp_path / 'started', tmp_path / 'python'
    python.write_text(f'#!/bin/bash\ntouch {started}\nsleep 60\n')
    python.chmod(0o755)
    env = {'PATH': '/usr/bin:/bin', 'PYTHON': str(python)}
    command = [checkout / 'scripts' / 'bootstrap']
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not started.exists():
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate()[1] == 'seglight: stopped by Ctrl-C\n'
    assert process.returncode == 130


def test_an_installer_that_is_stopped_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, 'find_uv', stop)
    with pytest.raises(SystemExit, match='130'):
        program.main()


def test_every_version_is_pinned_with_hashes_but_torchs() -> None:
    text = (ROOT / 'scripts' / 'constraints.txt').read_text()
    packages = re.split(r'\n(?=\w)', text)[1:]
    assert len(packages) > 100
    for package in packages:
        assert re.match(r'[\w.-]+==\S+( ; .+)? \\\n    --hash=sha256:\w{64}', package), package[:50]
    pins = re.findall(r'^\w+==', (ROOT / 'scripts' / 'torch.txt').read_text(), re.MULTILINE)
    assert pins == ['torch==', 'torchvision==']
    assert not re.search(r'^(torch|torchvision|nvidia-\w+|triton)==', text, re.MULTILINE)


@pytest.mark.parametrize('error', [SetupError, UnwritableError])
def test_pip_is_tried_where_uv_fails_but_not_where_nothing_can_be_written(
    error: type[SetupError], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def fails(doing: str, *_: object) -> None:
        tried.append('uv')
        raise error(f'{doing} failed')

    monkeypatch.setattr(program, 'run_uv', fails)
    monkeypatch.setattr(program, 'run_pip', lambda *_: tried.append('pip'))
    if error is UnwritableError:
        with pytest.raises(UnwritableError):
            program.install('uv', 'installing x', ['x'])
    else:
        program.install('uv', 'installing x', ['x'])
    assert tried == (['uv'] if error is UnwritableError else ['uv', 'pip'])
