"""What is said while pip works and when it fails."""

import os
import re
import sys
from pathlib import Path

import pytest

from seglight.errors import SetupError
from seglight.installation import pip, uv

HASH = 'a' * 64


@pytest.mark.parametrize(
    ('output', 'right'),
    [
        (
            f'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES. If\n    addict==2.4.0 from https://x/y.whl (from -r c.txt):\n'
            f'        Expected sha256 {"b" * 64}\n             Got        {HASH}\n\n',
            f'failed: https://x/y.whl must have the SHA-256 {"b" * 64}, got {HASH}; delete the file, or clear the cache',
        ),
        (
            f'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES. If\n    addict==2.4.0 from file:///x/y.whl:\n'
            f'        Expected sha256 {"b" * 64}\n        Expected     or {"c" * 64}\n             Got        {HASH}\n\n',
            f'failed: /x/y.whl must have a pinned SHA-256, got {HASH}; delete the file',
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device: '/x'\n",
            'disk is full',
        ),
        ("OSError: [Errno 122] Disk quota exceeded: '/x'\n", 'the disk quota is used up'),
        ("OSError: [Errno 27] File too large: '/env/x'\n", 'this shell limits the size of files; remove the limit'),
        ("OSError: [Errno 30] Read-only file system: '/env/lib'", 'is read-only; use a writable virtual environment'),
        ('error: externally-managed-environment\n\nx This environment', 'use a virtual environment'),
        (
            "ERROR: [Errno 13] Permission denied: '/usr/lib'\nCheck the permissions.",
            'cannot be written; use your own virtual environment',
        ),
        ('WARNING: Retrying after NameResolutionError(...)\nERROR: No matching distribution', 'index does not respond'),
        ('error: Failed to fetch: `x`\n  Caused by: dns error\n', 'index does not respond'),
        (
            'ERROR: first\nERROR: No matching distribution found for addict==2.4.0\nnote: y',
            'no configured package index or folder has addict==2.4.0; name a folder that has it in PIP_FIND_LINKS',
        ),
        ('ERROR: first\nERROR: No such thing\nnote: y', 'failed: No such thing'),
        ('ERROR: Exception:\nTraceback (most recent call last):\n  File "x"\nKeyError: 1\n', 'failed: KeyError: 1'),
        ('', 'no output'),
    ],
)
def test_a_failure_is_one_line_with_its_cause(output: str, right: str) -> None:
    code = f'import sys; sys.stdout.write({output!r}); sys.exit(1)'
    with pytest.raises(SetupError, match='installing x failed: ') as caught:
        pip.run('installing x', [sys.executable, '-c', code], {})
    assert right in str(caught.value)
    assert '\n' not in str(caught.value)
    assert isinstance(caught.value, pip.UnwritableError) == bool(re.search('disk|environment|shell', right))


def test_no_such_program_is_one_line() -> None:
    with pytest.raises(SetupError, match=r'installing x failed: .*no/such/uv'):
        pip.run('installing x', ['no/such/uv'], {})


def test_a_refused_connection_is_named_without_retries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        'PIP_RETRIES': '0',
        'PIP_INDEX_URL': 'http://127.0.0.1:9/simple',
        'PIP_CONFIG_FILE': os.devnull,
        'PIP_FIND_LINKS': '',
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match='the package index does not respond'):
        pip.run_pip('downloading x', ['download', '--dest', str(tmp_path), 'addict'])


def test_nothing_is_said_while_all_is_well(capfd: pytest.CaptureFixture[str]) -> None:
    pip.run('installing x', [sys.executable, '-c', 'print("WARNING: noise")'], {})
    assert capfd.readouterr() == ('', '')


def test_what_takes_long_says_what_goes_on(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pip, 'PATIENCE', 0.5)
    code = (
        'import time; print("Collecting torch==2.13.0 (from x)", flush=True); print("noise", flush=True); time.sleep(1)'
    )
    pip.run('installing x', [sys.executable, '-c', code], {})
    assert capfd.readouterr().err.startswith('seglight: installing x: ')


def test_uv_gets_the_settings_of_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('UV_FIND_LINKS', 'UV_DEFAULT_INDEX', 'UV_INDEX'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('UV_CONSTRAINT', 'mine.txt')
    lines = [
        ":env:.find-links='/wheels /more'",
        "global.find-links='/old'",
        "global.index-url='https://mirror/simple'",
        "global.extra-index-url='\\nhttps://a/simple\\nhttps://b/simple'",
        "global.constraint='theirs.txt'",
        "global.timeout='60'",
    ]
    given = uv.environment(lines)
    assert given.pop('UV_INDEX_STRATEGY') == 'unsafe-best-match'
    assert given.pop('UV_NO_PROGRESS') == '1'
    assert given == {
        'UV_FIND_LINKS': '/wheels,/more',
        'UV_DEFAULT_INDEX': 'https://mirror/simple',
        'UV_INDEX': 'https://a/simple https://b/simple',
    }


def test_pythons_own_pip_serves_where_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda _: None)
    with pytest.raises(SetupError, match='pip is missing'):
        pip.pip_command()
