"""The build of mmcv-full: what goes into which unit, what is cached, and when CUDA ops are built."""

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.utils import cpp_extension

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'build_mmcv.py'


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, with a cache of its own and no wish for CUDA."""
    spec = importlib.util.spec_from_file_location('build_mmcv', SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.delenv('FORCE_CUDA', raising=False)
    return module


def with_nvcc(folder: Path, release: str) -> str:
    """Make a CUDA_HOME whose nvcc says that it is of a release."""
    (folder / 'bin').mkdir(parents=True)
    (folder / 'bin' / 'nvcc').write_text(f'#!/bin/sh\necho "Cuda compilation tools, release {release}, V{release}.1"\n')
    (folder / 'bin' / 'nvcc').chmod(0o755)
    return str(folder)


def test_every_source_is_compiled_exactly_once(build: ModuleType, tmp_path: Path) -> None:
    names = {
        '': ['nms.cpp', 'pybind.cpp'],
        'cpu': ['nms.cpp', 'psamask.cpp', 'roi_align_rotated.cpp', 'rotated_feature_align.cpp', 'voxelization.cpp'],
        'cuda': ['cudabind.cpp', 'nms_cuda.cu'],
    }
    for folder, files in names.items():
        (tmp_path / 'src' / folder).mkdir(parents=True, exist_ok=True)
        for name in files:
            (tmp_path / 'src' / folder / name).write_text(f'// {folder}/{name}')
    build.make_unity(tmp_path / 'src')
    for folder, files in names.items():
        left = sorted(path.name for path in (tmp_path / 'src' / folder).glob('*.c*') if path.suffix != '.inc')
        if folder == 'cuda':
            assert left == files  # these stay as they are
            continue
        units = [(tmp_path / 'src' / folder / name).read_text() for name in left]
        included = [line.split('"')[1] for unit in units for line in unit.splitlines()]
        assert sorted(included) == sorted(f'{name}.inc' for name in files)
        for name in files:
            assert (tmp_path / 'src' / folder / f'{name}.inc').read_text() == f'// {folder}/{name}'


def test_the_cache_key_names_what_the_wheel_depends_on(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    key = build.cache_dir().name
    assert all(part in key for part in ('mmcv-full-1.7.2', f'torch{torch.__version__}', 'cpython-3', 'cuda-none'))
    monkeypatch.setattr(torch, '__version__', '9.9.9')
    assert build.cache_dir().name != key


def test_a_damaged_wheel_in_the_cache_is_built_again(build: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    build.cache_dir().mkdir(parents=True)
    wheel = build.cache_dir() / 'mmcv_full.whl'
    assert build.cached_wheel() is None
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr('a', 'b' * 1000)
    assert build.cached_wheel() == wheel
    wheel.write_bytes(wheel.read_bytes()[:50])
    assert build.cached_wheel() is None
    assert not wheel.exists()
    assert 'is damaged and is built again' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('torch_cuda', 'nvcc', 'builds_for', 'said'),
    [
        (None, None, None, ''),
        (None, '13.0', None, ''),
        ('13.0', '13.0', '13.0', ''),
        ('13.0', '13.2', '13.0', ''),
        ('13.0', None, None, 'for the CPU only: nvcc was not found; install the CUDA 13.0 toolkit'),
        ('13.0', '12.6', None, 'for the CPU only: torch was built for CUDA 13.0, nvcc in'),
    ],
)
def test_cuda_ops_are_built_where_torch_and_nvcc_agree(
    build: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    torch_cuda: str | None,
    nvcc: str | None,
    builds_for: str | None,
    said: str,
) -> None:
    monkeypatch.setattr(torch.version, 'cuda', torch_cuda)
    monkeypatch.setattr(cpp_extension, 'CUDA_HOME', with_nvcc(tmp_path / 'cuda', nvcc) if nvcc else None)
    assert build.cuda_version() == builds_for
    assert said in (err := capsys.readouterr().err)
    assert bool(err) == bool(said)
    monkeypatch.setenv('FORCE_CUDA', '1')
    build.cuda_version.cache_clear()
    if builds_for is None:
        with pytest.raises(SystemExit, match='FORCE_CUDA=1 is set, but'):
            build.cuda_version()


def test_a_source_of_another_layout_is_refused(build: ModuleType, tmp_path: Path) -> None:
    (tmp_path / 'setup.py').write_text('setup()')
    with pytest.raises(SystemExit, match='is not the file this script was written for'):
        build.make_buildable(tmp_path)
