"""Build a wheel of mmcv without compiled operators from the pinned source distribution of mmcv-full.

mmcv-full 1.7.2 is only published as source. Its `setup.py` imports torch, and `pkg_resources`, which setuptools 81
removed, so pip cannot build it in isolation; compiling its operators needs a C++ compiler, and nvcc for a GPU.
`seglight.ops` implements the operators that mmseg needs in PyTorch, and the rest of mmcv is Python: it goes into
the wheel unchanged, and nothing in the source is executed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path, PurePosixPath

from seglight.errors import SetupError
from seglight.installation.pip import run_pip

NAME = 'mmcv'  #: the name of mmcv's own build without operators
VERSION = '1.7.2'
SDIST = f'mmcv-full=={VERSION}'
SDIST_SHA256 = 'aa276a2c68fa84db9bbcdcf6ae941e30f0cb4a7f175bd283516669e00bab3759'

_DIST_INFO = f'{NAME}-{VERSION}.dist-info'
_NO_BUILD = Path(__file__).with_name('no_build')
_WHEEL = 'Wheel-Version: 1.0\nGenerator: seglight\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same source always gives the same wheel


def download(folder: Path, find_links: str | None = None) -> Path:
    """Download the source distribution with pip and its settings, and check the hash.

    Args:
        folder: the destination; created if needed.
        find_links: a folder or a page to take it from, without using an index.

    Raises:
        SetupError: if it cannot be downloaded or is not the pinned file.
    """
    path = os.pathsep.join(filter(None, [str(_NO_BUILD), os.environ.get('PYTHONPATH')]))
    with tempfile.TemporaryDirectory() as temporary:
        requirements = Path(temporary, 'requirements.txt')
        requirements.write_text(f'{SDIST} --hash=sha256:{SDIST_SHA256}\n')
        options = ['--no-deps', '--no-build-isolation', '--no-binary=mmcv-full', '--require-hashes']
        run_pip(
            f'downloading {SDIST}',
            ['download', *options, '--requirement', str(requirements), '--dest', str(folder), *offline(find_links)],
            PYTHONPATH=path,
            PIP_USE_PEP517='1',  # otherwise pip before 25.3 runs setup.py
        )
    return folder / f'mmcv-full-{VERSION}.tar.gz'


def offline(find_links: str | None) -> list[str]:
    """Return the options that restrict pip to one source of packages."""
    return ['--no-index', '--find-links', find_links] if find_links else []


def build_wheel(sdist: Path, folder: Path) -> Path:
    """Build the wheel from a source distribution in a folder and return its path.

    Raises:
        SetupError: if the source distribution is not the pinned one.
    """
    data = sdist.read_bytes()
    if (found := hashlib.sha256(data).hexdigest()) != SDIST_SHA256:
        raise SetupError(f'{sdist} must have the SHA-256 {SDIST_SHA256}, got {found}; delete the file and try again')
    contents = dict(_contents(data))
    # Installers write files in this order: an interrupted installation has metadata, but no RECORD.
    files = dict(sorted(contents.items(), key=lambda item: not item[0].startswith(_DIST_INFO)))
    record = io.StringIO()
    rows = csv.writer(record, lineterminator='\n')
    rows.writerows([name, f'sha256={_digest(content)}', len(content)] for name, content in files.items())
    rows.writerow([f'{_DIST_INFO}/RECORD', '', ''])
    files[f'{_DIST_INFO}/RECORD'] = record.getvalue().encode()
    wheel = folder / f'{NAME}-{VERSION}-py3-none-any.whl'
    with zipfile.ZipFile(wheel, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            information = zipfile.ZipInfo(name, _EPOCH)
            information.external_attr = 0o644 << 16
            archive.writestr(information, content, zipfile.ZIP_DEFLATED)
    return wheel


def _contents(sdist: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of the wheel except `RECORD`: Python modules and mmcv's lists of models."""
    metadata, requirements = '', ''
    with tarfile.open(fileobj=io.BytesIO(sdist)) as archive:
        for member in archive:
            name = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            file = archive.extractfile(member) if member.isfile() else None
            if file is None:
                continue
            if name.parts[0] == 'mmcv' and name.suffix in ('.py', '.json'):
                yield str(name), file.read()
            elif str(name) == 'PKG-INFO':
                metadata = file.read().decode()
            elif str(name) == 'requirements/runtime.txt':
                requirements = file.read().decode()
            elif str(name) == 'LICENSE':
                yield f'{_DIST_INFO}/LICENSE', file.read()
    yield f'{_DIST_INFO}/METADATA', _metadata(metadata, requirements.splitlines()).encode()
    yield f'{_DIST_INFO}/WHEEL', _WHEEL.encode()


def _metadata(sdist_metadata: str, requirements: list[str]) -> str:
    """Return the wheel's metadata: that of the source distribution, with the wheel's name and requirements."""
    source = message_from_string(sdist_metadata)
    lines = ['Metadata-Version: 2.1', f'Name: {NAME}']
    lines += [f'{key}: {source[key]}' for key in ('Version', 'Summary', 'Home-page', 'Author', 'Author-email')]
    lines += ['License: Apache-2.0']
    lines += [f'Requires-Dist: {line}' for line in requirements if line.strip()]
    return '\n'.join(lines) + '\n'


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')
