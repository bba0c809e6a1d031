"""A process that keeps freed memory touches few new pages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import seglight
from seglight import memory

pytestmark = pytest.mark.skipif(memory._find_glibc() is None, reason='without glibc')

#: Prints the pages that the system had to provide for five blocks of 40 MiB, each freed before the next.
COUNT = """
import resource

def fill():
    for _ in range(5):
        b'x' * (40 * 2**20)

fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)
"""
#: Prints the resident size in bytes.
RESIDENT = 'import os; print(int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE"), flush=True)'
KEEP = 'from seglight.memory import keep_freed_memory; keep_freed_memory()\n'


def pages(code: str, **variables: str) -> int:
    """Run code in a process of its own with these variables, and return the number that it prints."""
    ours = ('MALLOC_', 'GLIBC_TUNABLES', memory.SWITCH)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = str(Path(seglight.__file__).parents[1])
    environment = {**clean, 'PYTHONPATH': path, **variables}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope='module')
def default() -> int:
    """The pages that glibc's own settings need, of 4 KiB or of 2 MiB."""
    number = pages(COUNT)
    assert number >= 80
    return number


def test_freed_memory_is_reused(default: int) -> None:
    assert pages(KEEP + COUNT) < default / 5


def test_the_command_line_keeps_freed_memory(default: int) -> None:
    main = f'from seglight import __main__ as program\nprogram.run = lambda argv: exec({COUNT!r}, {{}})\nprogram.main()'
    assert pages(main) < default / 5


def test_a_program_that_imports_seglight_decides_itself(default: int) -> None:
    assert pages(f'import seglight.memory\n{COUNT}') > default / 2


@pytest.mark.parametrize(
    'variables',
    [
        {'SEGLIGHT_KEEP_MEMORY': '0'},
        {'MALLOC_MMAP_THRESHOLD_': str(2**25)},
        {'GLIBC_TUNABLES': f'glibc.malloc.mmap_threshold={2**25}'},
    ],
)
def test_the_user_decides(default: int, variables: dict[str, str]) -> None:
    assert pages(KEEP + COUNT, **variables) > default / 2


@pytest.mark.parametrize('method', ['fork', 'spawn', 'forkserver'])
def test_later_processes_keep_it_too(default: int, method: str) -> None:
    start = f'from multiprocessing import get_context\nget_context({method!r}).Pool(1).apply(exec, ({COUNT!r}, {{}}))'
    assert pages(start) > default / 2
    assert pages(KEEP + start) < default / 5


def test_a_glibc_that_rejects_the_size_keeps_it_too(default: int) -> None:
    # This is how older releases reject sizes above 32 MiB.
    old = (
        'from seglight import memory\nreal = memory._find_glibc()\n'
        'class Old:\n'
        '    malloc_trim = real.malloc_trim\n'
        '    def mallopt(self, name, value):\n'
        '        return 0 if name == -3 and value > 2**25 else real.mallopt(name, value)\n'
        'memory._find_glibc = Old\n'
    )
    assert pages(old + KEEP + COUNT) < default / 5
    later = f'import os, subprocess, sys\nsubprocess.run([sys.executable, "-c", {COUNT!r}], check=True)'
    assert pages(old + KEEP + later) < default / 5


def test_a_block_of_a_gigabyte_is_returned() -> None:
    block = f'b"x" * 2**30\n{RESIDENT}'
    assert pages(KEEP + block) < 2**28


def test_a_loader_process_holds_no_free_memory() -> None:
    # Two blocks below a third that stays, as in a heap with live tensors at its end.
    blocks = 'a, b, c = [b"x" * size for size in (2**28, 2**28, 2**20)]\ndel a, b\n'
    child = f'from multiprocessing import get_context\nget_context("fork").Pool(1).apply(exec, ({RESIDENT!r}, {{}}))'
    assert pages(f'{KEEP}{blocks}{RESIDENT}') > 2**29
    assert pages(f'{KEEP}{blocks}{child}') < 2**28
    # Also in a process that inherits glibc's settings, as Lightning starts one for each device.
    again = f'import subprocess, sys\nsubprocess.run([sys.executable, "-c", {KEEP + blocks + child!r}], check=True)'
    assert pages(KEEP + again) < 2**28


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(('MALLOC_', 'GLIBC_TUNABLES', memory.SWITCH))]:
        monkeypatch.delenv(name)
    before = dict(os.environ)
    monkeypatch.setattr('ctypes.CDLL', lambda _: object())  # musl has no mallopt
    memory.keep_freed_memory()
    monkeypatch.setattr(sys, 'platform', 'darwin')
    memory.keep_freed_memory()
    assert dict(os.environ) == before
