"""What the set-up says where the machine lacks something, and when it has nothing to do."""

import re
import shutil
import subprocess
import sys
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


@pytest.mark.parametrize(
    ('refuses', 'said'),
    [
        ('version_info', 'no Python 3.10 to 3.13 was found; install one'),
        ('ensurepip', 'has no venv module; install it (Debian: apt install python3-venv)'),
    ],
)
def test_a_python_that_lacks_something_is_one_line(checkout: Path, tmp_path: Path, refuses: str, said: str) -> None:
    done = bootstrap(checkout, PYTHON=fake_python(tmp_path / 'python', refuses))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not (checkout / '.venv').exists()


def test_it_does_nothing_until_what_it_is_made_from_changes(checkout: Path) -> None:
    scripts = [f'scripts/{name}' for name in ('bootstrap', 'bootstrap.py', 'constraints.txt', 'torch.txt')]
    files = f'pyproject.toml {" ".join(scripts)} seglight/installation/*.py'
    state = subprocess.run(f'cat {files} | cksum', shell=True, cwd=checkout, capture_output=True, text=True)
    (checkout / '.venv' / 'bin').mkdir(parents=True)
    (checkout / '.venv' / 'seglight-bootstrap').write_text(state.stdout)
    done = bootstrap(checkout, PYTHON='/no/such/python')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    with (checkout / 'scripts' / 'constraints.txt').open('a') as file:
        file.write('# another version\n')
    assert 'no Python 3.10 to 3.13 was found' in bootstrap(checkout, PYTHON='/no/such/python').stderr


def test_an_environment_that_was_interrupted_is_made_anew(checkout: Path, tmp_path: Path) -> None:
    venv = checkout / '.venv'
    (venv / 'bin').mkdir(parents=True)
    (venv / 'bin' / 'python').symlink_to(sys.executable)
    (venv / 'half').touch()
    (venv / 'seglight-bootstrap').touch()
    (checkout / 'scripts' / 'bootstrap.py').write_text('import sys; sys.exit("seglight: the disk is full")')
    done = bootstrap(checkout)
    assert (done.returncode, done.stderr) == (1, 'seglight: the disk is full\n')
    assert not (venv / 'half').exists()
    assert (venv / 'seglight-bootstrap').read_text() == ''


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
