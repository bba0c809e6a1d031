"""The pure wheel of mmcv: what goes into it, that it is checked, and that it installs wholly or not at all."""

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from seglight.errors import SetupError
from seglight.installation import mmcv, mmcv_wheel, requirements

FILES = {
    'PKG-INFO': 'Metadata-Version: 2.1\nName: mmcv-full\nVersion: 1.7.2\nSummary: vision\nHome-page: h\nAuthor: a\nAuthor-email: e\n',
    'LICENSE': 'terms',
    'setup.py': 'raise SystemExit("the source is executed")',
    'requirements/runtime.txt': "addict\nregex;sys_platform=='win32'\n",
    'mmcv/__init__.py': '',
    'mmcv/version.py': "__version__ = '1.7.2'\n",
    'mmcv/ops/info.py': 'x = 1\n',
    'mmcv/ops/csrc/ops.cpp': '// C++',
    'mmcv/model_zoo/mmcls.json': '{}',
    'tests/test_a.py': '',
}


@pytest.fixture
def sdist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source distribution like mmcv-full's, whose hash is the pinned one."""
    path = tmp_path / 'links' / 'mmcv-full-1.7.2.tar.gz'
    path.parent.mkdir()
    with tarfile.open(path, 'w:gz') as archive:
        for name, text in FILES.items():
            member = tarfile.TarInfo(f'mmcv-full-1.7.2/{name}')
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setattr(mmcv_wheel, 'SDIST_SHA256', hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def environment(folder: Path) -> Path:
    """Make a virtual environment without pip and return its interpreter."""
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', folder], check=True)
    return next(path for path in (folder / 'bin/python', folder / 'Scripts/python.exe') if path.exists())


def test_it_holds_the_python_files_and_their_hashes(sdist: Path, tmp_path: Path) -> None:
    wheel = mmcv_wheel.build_wheel(sdist, tmp_path)
    assert wheel.name == 'mmcv-1.7.2-py3-none-any.whl'
    with zipfile.ZipFile(wheel) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in contents if name.startswith('mmcv/')]
    assert names == ['mmcv/__init__.py', 'mmcv/version.py', 'mmcv/ops/info.py', 'mmcv/model_zoo/mmcls.json']
    assert list(contents)[-1] == 'mmcv-1.7.2.dist-info/RECORD'  # so that half an installation lacks it
    for name, digest, size in csv.reader(contents['mmcv-1.7.2.dist-info/RECORD'].decode().splitlines()):
        if digest:
            right = base64.urlsafe_b64encode(hashlib.sha256(contents[name]).digest()).decode().rstrip('=')
            assert (digest, int(size)) == (f'sha256={right}', len(contents[name]))
    metadata = contents['mmcv-1.7.2.dist-info/METADATA'].decode().splitlines()
    assert {'Name: mmcv', 'Version: 1.7.2', "Requires-Dist: regex;sys_platform=='win32'"} <= set(metadata)


def test_the_same_source_gives_the_same_wheel(sdist: Path, tmp_path: Path) -> None:
    first = mmcv_wheel.build_wheel(sdist, tmp_path).read_bytes()
    assert mmcv_wheel.build_wheel(sdist, tmp_path).read_bytes() == first


def test_another_file_than_the_pinned_one_is_refused(sdist: Path, tmp_path: Path) -> None:
    sdist.write_bytes(sdist.read_bytes() + b'more')
    with pytest.raises(SetupError, match=r'mmcv-full-1\.7\.2\.tar\.gz must have the SHA-256 \w{64}, got \w{64}'):
        mmcv_wheel.build_wheel(sdist, tmp_path)
    with pytest.raises(
        SetupError, match=r'/mmcv-full-1\.7\.2\.tar\.gz must have the SHA-256 \w{64}, got \w{64}; delete'
    ):
        mmcv_wheel.download(tmp_path / 'out', str(sdist.parent))
    assert not list(tmp_path.glob('*.whl'))


def test_pip_downloads_it_without_running_its_code(sdist: Path, tmp_path: Path) -> None:
    found = mmcv_wheel.download(tmp_path / 'out', str(sdist.parent))
    assert found.read_bytes() == sdist.read_bytes()


def test_a_folder_without_it_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        SetupError, match=r'downloading mmcv-full==1\.7\.2 failed: no configured package index or folder has'
    ) as caught:
        mmcv_wheel.download(tmp_path / 'out', str(tmp_path))
    assert '\n' not in str(caught.value)
    assert 'seglight setup --download' in str(caught.value)


def test_an_environment_without_mmcv_gets_it_once_whatever_the_settings(sdist: Path, tmp_path: Path) -> None:
    code = (
        'from seglight.installation import mmcv, mmcv_wheel;'
        f'mmcv_wheel.SDIST_SHA256 = {mmcv_wheel.SDIST_SHA256!r};'
        f'print(mmcv.install_mmcv({str(sdist.parent)!r}), mmcv.install_mmcv("nowhere"));'
        'import mmcv.version, importlib.metadata as m; print(mmcv.version.__version__, m.version("mmcv"))'
    )
    python, root = environment(tmp_path / 'env'), Path(mmcv.__file__).parents[2]
    command = [str(python), '-c', f'import sys; sys.path.insert(0, {str(root)!r}); {code}']
    elsewhere = {name: str(tmp_path / 'elsewhere') for name in ('PIP_TARGET', 'PIP_PREFIX', 'PIP_ROOT', 'PIP_PYTHON')}
    settings = {**elsewhere, 'PIP_USER': '1', 'PIP_DRY_RUN': '1', 'PIP_REQUIRE_HASHES': '1'}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    assert done.stdout.splitlines() == ['True False', '1.7.2 1.7.2'], done.stderr
    assert all(line.startswith('seglight: ') for line in done.stderr.splitlines())  # progress, if it takes long


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of packages, the only one that holds mmcv as far as can be seen."""
    folder = tmp_path / 'site-packages'
    folder.mkdir()
    monkeypatch.setattr('sysconfig.get_path', lambda _: str(folder))
    monkeypatch.setattr(
        requirements, 'mmcv_folder', lambda: folder / 'mmcv' if (folder / 'mmcv/__init__.py').exists() else None
    )
    return folder


def unpack(wheel: Path, folder: Path, complete: bool) -> None:
    """Install a wheel as pip does, or all but what comes last."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, archive.namelist()[: None if complete else -2])


@pytest.mark.parametrize('complete', [False, True], ids=['in a file', 'after the last file'])
def test_what_a_failure_left_goes_and_the_next_try_works(
    complete: bool, sdist: Path, tmp_path: Path, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = True

    def run_pip(doing: str, arguments: list[str], **_: str) -> None:
        unpack(Path(arguments[-1]), packages, complete or not fails)
        if fails:
            raise SetupError(f'{doing} failed: the disk is full; free some space and try again')

    monkeypatch.setattr(mmcv, 'download', lambda *_: sdist)
    monkeypatch.setattr(mmcv, 'run_pip', run_pip)
    with pytest.raises(SetupError, match='the disk is full'):
        mmcv.install_mmcv()
    assert list(packages.iterdir()) == []
    unpack(mmcv_wheel.build_wheel(sdist, tmp_path), packages, complete=False)  # the process was killed
    assert requirements.mmcv_version() is None
    fails = False
    assert mmcv.install_mmcv()
    assert requirements.mmcv_version() == '1.7.2'
    assert not mmcv.install_mmcv()


def test_only_what_was_checked_is_installed(sdist: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(sdist.parent / 'mmcv-1.7.2-py3-none-any.whl', 'w') as archive:
        archive.writestr('mmcv/__init__.py', 'raise SystemExit("the wheel of somebody else")')
    monkeypatch.setattr(
        mmcv, 'run_pip', lambda _, arguments, **__: unpack(Path(arguments[-1]), packages, complete=True)
    )
    assert mmcv.install_mmcv(str(sdist.parent))
    assert (packages / 'mmcv/__init__.py').read_text() == ''


def test_what_pip_installs_elsewhere_is_one_line(sdist: Path, packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmcv, 'run_pip', lambda *_, **__: None)
    with pytest.raises(SetupError, match=r'pip did not install mmcv 1\.7\.2 where this Python looks; remove target'):
        mmcv.install_mmcv(str(sdist.parent))


def test_what_was_compiled_stays(sdist: Path, tmp_path: Path, packages: Path) -> None:
    unpack(mmcv_wheel.build_wheel(sdist, tmp_path), packages, complete=True)
    (packages / 'mmcv/_ext.cpython-311-x86_64-linux-gnu.so').touch()
    before = sorted(packages.rglob('*'))
    assert not mmcv.install_mmcv()
    (packages / 'mmcv/version.py').write_text("__version__ = '1.6.0'\n")
    with pytest.raises(SetupError, match=r'must be 1\.7\.x, got 1\.6\.0; run: pip uninstall mmcv'):
        mmcv.install_mmcv()
    assert sorted(packages.rglob('*')) == before
