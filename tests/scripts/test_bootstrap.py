"""What the set-up says where the machine lacks something, and when it has nothing to do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without .venv, as far as the set-up reads it."""
    shutil.copytree(ROOT / 'scripts', tmp_path / 'scripts')
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
        ('version_info', 'no Python 3.10 to 3.12 was found; install one'),
        ('ensurepip', 'has no venv module; install it (Debian: apt install python3-venv)'),
        ('Python.h', 'has no headers (Python.h); install them (Debian: apt install python3-dev)'),
    ],
)
def test_a_python_that_lacks_something_is_one_line(checkout: Path, tmp_path: Path, refuses: str, said: str) -> None:
    done = bootstrap(checkout, PYTHON=fake_python(tmp_path / 'python', refuses))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not (checkout / '.venv').exists()


def test_a_missing_compiler_is_one_line(checkout: Path) -> None:
    done = bootstrap(checkout, CXX='/no/such/compiler')
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        'seglight: no C++ compiler was found to build mmcv-full with; install one (Debian: apt install g++) or name it in CXX'
    ]


def test_it_does_nothing_until_what_it_is_made_from_changes(checkout: Path) -> None:
    names = ['pyproject.toml', *(f'scripts/{name}' for name in ('bootstrap', 'build_mmcv.py', 'constraints.txt'))]
    state = subprocess.run(f'cat {" ".join(names)} | cksum', shell=True, cwd=checkout, capture_output=True, text=True)
    (checkout / '.venv').mkdir()
    (checkout / '.venv' / 'seglight-bootstrap').write_text(state.stdout)
    done = bootstrap(checkout, PYTHON='/no/such/python')
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
    with (checkout / 'scripts' / 'constraints.txt').open('a') as file:
        file.write('# another version\n')
    assert 'no Python 3.10 to 3.12 was found' in bootstrap(checkout, PYTHON='/no/such/python').stderr
