"""Install everything that a clone needs into the running virtual environment; called by `scripts/bootstrap`.

The packages pinned in `constraints.txt` are checked against their hashes. uv, if available or installable, takes
a fraction of pip's time; otherwise pip is used.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seglight.errors import SetupError, UserError
from seglight.installation.mmcv import install_mmcv
from seglight.installation.pip import UnwritableError, run, run_pip
from seglight.installation.uv import find_uv, run_uv

SCRIPTS = Path(__file__).parent
CONSTRAINTS = SCRIPTS / 'constraints.txt'


def main() -> None:
    """Install everything, or end with one line and status 2, 130 after Ctrl-C."""
    start = time.monotonic()
    say(f'setting up {sys.prefix} once; later starts are immediate')
    try:
        uv = find_uv() or installed_uv()
        hashed = ['--no-deps', '--require-hashes', '--requirement', str(CONSTRAINTS)]
        install(uv, 'installing the dependencies', hashed)
        install(uv, 'installing torch', ['--requirement', str(SCRIPTS / 'torch.txt')])
        install(uv, 'installing seglight', ['--no-deps', '--no-build-isolation', '--editable', str(SCRIPTS.parent)])
        say('installing mmcv')
        install_mmcv()
        say('importing everything once')
        import_once()
    except UserError as error:
        say(str(error))
        sys.exit(error.status)
    except KeyboardInterrupt:  # which `scripts/bootstrap` reports
        sys.exit(130)
    say(f'done in {time.monotonic() - start:.0f} s')


def install(uv: str | None, doing: str, arguments: list[str]) -> None:
    """Install with uv, or with pip if uv is missing or fails, since uv does not support all of pip's settings.

    Neither compiles modules: `import_once` compiles the fraction that is imported.
    """
    say(doing)
    if uv:
        with another_way():
            return run_uv(doing, uv, ['install', *arguments])
    return run_pip(doing, ['install', '--no-compile', *arguments])


@contextmanager
def another_way() -> Iterator[None]:
    """Suppress the failure of an installer, except one that every installer has."""
    try:
        yield
    except UnwritableError:
        raise
    except SetupError:
        pass


def installed_uv() -> str | None:
    """Install the pinned uv into this environment and return its path; None if that fails."""
    pinned = re.search(r'^uv==.*\\\n(    --hash=.*\n)+', CONSTRAINTS.read_text(), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder, another_way():
        wanted = Path(folder, 'uv.txt')
        wanted.write_text(pinned[0] if pinned else 'uv')
        run_pip('installing uv', ['install', '--no-deps', '--require-hashes', '--requirement', str(wanted)])
    return find_uv()


def import_once() -> None:
    """Import every module, to detect failures early and to compile what is imported.

    Bytecode is written despite `PYTHONDONTWRITEBYTECODE`, since otherwise each start would compile everything again.
    """
    code = (
        'import importlib, pkgutil, seglight.compat, torch.utils.tensorboard\n'
        'for module in pkgutil.walk_packages(seglight.__path__, "seglight."): importlib.import_module(module.name)'
    )
    run('importing everything once', [sys.executable, '-W', 'ignore', '-c', code], {'PYTHONDONTWRITEBYTECODE': ''})


def say(text: str) -> None:
    """Print a line to stderr."""
    print(f'seglight: {text}', file=sys.stderr, flush=True)


if __name__ == '__main__':
    main()
