"""`scripts/audit` ends in one line where there is no network, and shows what it finds where there is one."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'audit'

#: What pip-audit 2.10 prints if it cannot reach PyPI.
TRACEBACK = (
    'Traceback (most recent call last):\n  File "connection.py", line 239\nConnectionRefusedError: refused\n'
    'During handling of the above exception, another exception occurred:\nTraceback (most recent call last):\n'
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded\n"
)


def audit(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT], capture_output=True, text=True, env={**os.environ, **environment}, timeout=100)


def stand_in(path: Path, script: str) -> str:
    """Write a program to call in place of uv; `--version` works, as of a tool that is in the cache."""
    path.write_text(f'#!/usr/bin/env bash\ncase "$*" in *--version) exit 0;; esac\n{script}')
    path.chmod(0o755)
    return str(path)


def test_a_service_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'traceback').write_text(TRACEBACK)
    done = audit(UV=stand_in(tmp_path / 'uv', f'cat {tmp_path}/traceback >&2; exit 1'))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith('seglight: the advisories cannot be read: is there a network? (requests.exceptions.Conn')


@pytest.mark.parametrize('script', ['', 'echo "torch 1.0 PYSEC-1" ; echo "WARNING: x" >&2; exit 1'])
def test_what_is_found_is_shown(script: str, tmp_path: Path) -> None:
    done = audit(UV=stand_in(tmp_path / 'uv', script))
    assert done.returncode == bool(script)
    assert done.stdout == ('torch 1.0 PYSEC-1\n' * 2 if script else '')
    assert done.stderr == ''


@pytest.mark.skipif(
    not shutil.which('uv', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}'), reason='needs uv'
)
def test_an_index_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    uv = shutil.which('uv', path=f'{Path(sys.executable).parent}:{os.environ["PATH"]}') or ''
    with socket.create_server(('127.0.0.1', 0)) as mute:  # the system accepts connections, and nobody reads
        index = f'http://127.0.0.1:{mute.getsockname()[1]}/simple'
        limits = {'UV_HTTP_TIMEOUT': '1', 'UV_HTTP_RETRIES': '0', 'UV_CACHE_DIR': str(tmp_path)}
        done = audit(UV=uv, UV_DEFAULT_INDEX=index, UV_NO_CONFIG='1', **limits)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith('seglight: pip-audit cannot be installed: is there a network? (')
