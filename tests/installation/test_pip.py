"""What is said while pip works and when it fails."""

import re
import sys

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
            f'addict==2.4.0 must have a pinned SHA-256, got {HASH}; delete the file, or clear the cache',
        ),
        (
            f'ERROR: THESE PACKAGES DO NOT MATCH THE HASHES. If\n    addict==2.4.0 from https://x/y.whl:\n'
            f'        Expected sha256 {"b" * 64}\n        Expected     or {"c" * 64}\n             Got        {HASH}\n\n',
            f'addict==2.4.0 must have a pinned SHA-256, got {HASH}',
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device: '/x'\n",
            'disk is full',
        ),
        ("OSError: [Errno 30] Read-only file system: '/env/lib'", 'is read-only; use a writable virtual environment'),
        ('error: externally-managed-environment\n\nx This environment', 'use a virtual environment'),
        (
            "ERROR: [Errno 13] Permission denied: '/usr/lib'\nCheck the permissions.",
            'cannot be written; use your own virtual environment',
        ),
        ('WARNING: Retrying after NameResolutionError(...)\nERROR: No matching distribution', 'index does not respond'),
        ('error: Failed to fetch: `x`\n  Caused by: dns error\n', 'index does not respond'),
        (
            'ERROR: first\nERROR: No matching distribution found for mmcv-full==1.7.2\nnote: y',
            'no configured package index or folder has mmcv-full==1.7.2; give a folder that has it (--find-links)',
        ),
        ('ERROR: first\nERROR: No such thing\nnote: y', 'failed: No such thing'),
        ('', 'no output'),
    ],
)
def test_a_failure_is_one_line_with_its_cause(output: str, right: str) -> None:
    code = f'import sys; sys.stdout.write({output!r}); sys.exit(1)'
    with pytest.raises(SetupError, match='installing x failed: ') as caught:
        pip.run('installing x', [sys.executable, '-c', code], {})
    assert right in str(caught.value)
    assert '\n' not in str(caught.value)
    assert isinstance(caught.value, pip.UnwritableError) == bool(re.search('disk|environment', right))


def test_no_such_program_is_one_line() -> None:
    with pytest.raises(SetupError, match=r'installing x failed: .*no/such/uv'):
        pip.run('installing x', ['no/such/uv'], {})


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
