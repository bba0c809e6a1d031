"""Build mmcv-full for the installed torch, cache the wheel, install it, and check that its ops import.

mmcv-full has no wheel for a current torch, and its source does not build there as it is:

* it asks for C++17, torch 2.13 needs C++20;
* its `setup.py` imports `pkg_resources` (setuptools < 81) and torch, so pip's build isolation must be off;
* file by file it takes about 25 minutes on two cores. Its CPU sources are therefore grouped into
  four translation units (a "unity build"), which takes about a minute.

The wheel is kept outside the checkout, under a key of everything it depends on, so the next set-up
takes seconds. With a CUDA torch and a matching nvcc the CUDA ops are built too.

    python scripts/build_mmcv.py            # build or reuse, then install into this interpreter
    FORCE_CUDA=1 python scripts/build_mmcv.py   # CUDA ops, or an error that says what is missing
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

MMCV = 'mmcv-full==1.7.2'
SDIST_SHA256 = 'aa276a2c68fa84db9bbcdcf6ae941e30f0cb4a7f175bd283516669e00bab3759'
CONSTRAINTS = Path(__file__).with_name('constraints.txt')

#: Sources that define the same names as others and so need a translation unit of their own.
#: Order matters: psamask.cpp defines macros `min` and `max`, so nothing may follow it.
CPU_GROUPS = {
    'unity_rotated': ['roi_align_rotated.cpp', 'psamask.cpp'],
    'unity_feature': ['rotated_feature_align.cpp'],
}


def main() -> None:
    """Install mmcv-full into the running interpreter, from the cache where it holds the wheel."""
    wheel = cached_wheel() or build_wheel()
    install = [*pip(), 'install', '--quiet', '-c', str(CONSTRAINTS), str(wheel)]
    subprocess.run(install, check=True)
    # pip takes a wheel of the version that is installed for the same, also when it was built for another torch.
    subprocess.run([*install, '--force-reinstall', '--no-deps'], check=True)
    check = subprocess.run([sys.executable, '-c', 'import torch, mmcv._ext'], capture_output=True, text=True)
    if check.returncode:
        sys.exit(f'mmcv-full was built but its ops do not import: {check.stderr.strip().splitlines()[-1]}')


def pip() -> list[str]:
    """Return the command that starts this interpreter's pip."""
    return [sys.executable, '-m', 'pip', '--disable-pip-version-check']


@functools.cache
def cuda_version() -> str | None:
    """Return the CUDA version to build the ops for, or None for a CPU build.

    Raises:
        SystemExit: when `FORCE_CUDA=1` asks for what this machine cannot build.
    """
    import torch
    from torch.utils.cpp_extension import CUDA_HOME

    missing = None
    if torch.version.cuda is None:
        missing = 'the installed torch is a CPU build'
    elif CUDA_HOME is None or not Path(CUDA_HOME, 'bin', 'nvcc').exists():
        missing = f'nvcc was not found; install the CUDA {torch.version.cuda} toolkit or set CUDA_HOME'
    else:
        said = subprocess.run([f'{CUDA_HOME}/bin/nvcc', '--version'], capture_output=True, text=True).stdout
        release = re.search(r'release (\d+)\.\d+', said)
        if not release or release[1] != torch.version.cuda.split('.')[0]:
            found = release[1] if release else 'an unknown version'
            missing = f'torch was built for CUDA {torch.version.cuda}, nvcc in {CUDA_HOME} is of CUDA {found}'
    if missing is None:
        return torch.version.cuda
    if os.environ.get('FORCE_CUDA') == '1':
        sys.exit(f'FORCE_CUDA=1 is set, but the CUDA ops of mmcv-full cannot be built: {missing}.')
    if torch.version.cuda is not None:
        print(f'Building mmcv-full for the CPU only: {missing}.', file=sys.stderr)
    return None


def cache_dir() -> Path:
    """Return the folder that holds the wheel for this mmcv, torch, Python, platform and CUDA."""
    import torch

    root = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'seglight' / 'wheels'
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    parts = [
        MMCV.replace('==', '-'),
        f'torch{torch.__version__}',
        sys.implementation.cache_tag,
        sysconfig.get_platform(),
        f'cuda{cuda_version() or "-none"}',
        recipe,
    ]
    return root / '_'.join(parts)


def cached_wheel() -> Path | None:
    """Return the cached wheel, or None where there is none that can be read to its end."""
    for wheel in cache_dir().glob('*.whl'):
        try:
            with zipfile.ZipFile(wheel) as archive:
                if archive.testzip() is None:
                    return wheel
        except zipfile.BadZipFile:
            pass
        print(f'{wheel} is damaged and is built again.', file=sys.stderr)
        wheel.unlink()
    return None


def build_wheel() -> Path:
    """Download the pinned source, build the wheel and move it into the cache in one step."""
    cuda = cuda_version()
    print(f'Building {MMCV} for {"CUDA " + cuda if cuda else "the CPU"}, once.', file=sys.stderr, flush=True)
    target = cache_dir()
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        source = download(Path(folder))
        make_buildable(source)
        make_unity(source / 'mmcv' / 'ops' / 'csrc' / 'pytorch')
        env = {
            **os.environ,
            'CFLAGS': '-O2 -g0',
            'CXXFLAGS': '-O2 -g0',
            'FORCE_CUDA': '1' if cuda else '0',
            'MAX_JOBS': os.environ.get('MAX_JOBS', str(os.cpu_count() or 1)),
        }
        command = [*pip(), 'wheel', '--no-deps', '--no-build-isolation', '--wheel-dir', folder, str(source)]
        log = target / 'build.log'
        with log.open('w') as out:
            done = subprocess.run(command, env=env, stdout=out, stderr=subprocess.STDOUT)
        if done.returncode:
            sys.exit(f"Building {MMCV} failed; the compiler's output is in {log}.")
        built = next(Path(folder).glob('*.whl'))
        return Path(shutil.move(built, target / built.name))


def download(folder: Path) -> Path:
    """Fetch the source through pip, checked against `SDIST_SHA256`, and return the unpacked folder."""
    wanted = folder / 'requirements.txt'
    wanted.write_text(f'{MMCV} --hash=sha256:{SDIST_SHA256}\n')
    # Building metadata imports torch and pkg_resources, hence no isolation here either.
    command = ['download', '--quiet', '--no-deps', '--no-build-isolation', '--no-binary', 'mmcv-full']
    done = subprocess.run([*pip(), *command, '--require-hashes', '-r', str(wanted), '-d', str(folder)])
    if done.returncode:
        sys.exit(f'{MMCV} could not be downloaded; see the lines above.')
    with tarfile.open(next(folder.glob('*.tar.gz'))) as archive:
        archive.extraction_filter = getattr(tarfile, 'data_filter', None)  # Pythons before 3.10.12 have none
        archive.extractall(folder)
    return next(path.parent for path in folder.glob('*/setup.py'))


def make_buildable(source: Path) -> None:
    """Ask for the C++ standard that the installed torch needs."""
    setup = source / 'setup.py'
    text = setup.read_text()
    if "'-std=c++17'" not in text:
        sys.exit(f'{setup} of {MMCV} is not the file this script was written for.')
    setup.write_text(text.replace("'-std=c++17'", "'-std=c++20'"))


def make_unity(folder: Path) -> None:
    """Replace the CPU sources by a few files that include them; the CUDA sources stay as they are."""
    grouped = {name for group in CPU_GROUPS.values() for name in group}
    rest = sorted(path.name for path in (folder / 'cpu').glob('*.cpp') if path.name not in grouped)
    for name, members in {**CPU_GROUPS, 'unity_cpu': rest}.items():
        write_unit(folder / 'cpu', name, members)
    write_unit(folder, 'unity_ops', sorted(path.name for path in folder.glob('*.cpp')))


def write_unit(folder: Path, name: str, members: list[str]) -> None:
    """Write `name.cpp` that includes `members`, renamed so that `setup.py` does not compile them again."""
    for member in members:
        (folder / member).rename(folder / f'{member}.inc')
    lines = [f'#include "{member}.inc"\n' for member in members]
    (folder / f'{name}.cpp').write_text(''.join(lines))


if __name__ == '__main__':
    main()
