"""Whatever ends a command is one line with an exit status, and what a developer needs is kept."""

import errno
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Result

from seglight import border
from seglight.cli import tools
from seglight.errors import ConfigError, Interrupted

Run = Callable[..., Result]


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


FORESEEN = {
    'an error of the user': (ConfigError('x', 'wrong'), 'x: wrong', 2),
    'a run to resume': (Interrupted('stopped'), 'stopped', 75),
    'a full disk': (
        OSError(errno.ENOSPC, 'No space left on device', 'a/b.png'),
        "'a/b.png': No space left on device; free some space, or write elsewhere (--work-dir, --output)",
        2,
    ),
    'no permission': (
        PermissionError(errno.EACCES, 'Permission denied', 'a'),
        "'a': Permission denied; change the permissions, or write elsewhere (--work-dir, --output)",
        2,
    ),
    'a renamed file': (OSError(errno.EXDEV, 'Invalid cross-device link', 'a', None, 'b'), "'a' -> 'b': Invalid cross-device link", 2),
    'too many files': (OSError(errno.EMFILE, 'Too many open files'), 'Too many open files; raise the number of open files (ulimit -n)', 2),
    'no memory': (MemoryError('Unable to allocate 9 TiB'), 'out of memory: Unable to allocate 9 TiB; give a smaller data.batch_size', 2),
    'no memory without a word': (MemoryError(), 'out of memory; give a smaller', 2),
    'no memory of torch': (
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."),
        "can't allocate memory: you tried to allocate 4 bytes.; give a smaller data.batch_size",
        2,
    ),
    'no memory of CUDA': (RuntimeError('CUDA out of memory. Tried to allocate 2 GiB'), 'CUDA out of memory. Tried to allocate 2 GiB; give a smaller', 2),
    'a full disk, as torch says it': (
        RuntimeError('[enforce fail at inline_container.cc:664] . PytorchStreamWriter failed writing file data/0: file write failed'),
        'free some space',
        2,
    ),
    'no shared memory': (
        RuntimeError('unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)'),
        '/dev/shm is full: free it, increase it (in a container with --shm-size), or set data.num_workers: 0',
        2,
    ),
    'a worker that was killed': (RuntimeError('DataLoader worker (pid 7) is killed by signal: Killed. '), 'the system killed it; give a smaller', 2),
    'a package that is not there': (ModuleNotFoundError("No module named 'timm'", name='timm'), "the package 'timm' is not installed", 2),
}  # fmt: skip


@pytest.mark.parametrize('case', FORESEEN)
def test_what_a_user_can_mend_has_status_2_and_says_how(case: str) -> None:
    error, said, status = FORESEEN[case]
    line, found = border.explain(raised(error))
    assert said in line
    assert found == status
    assert len(line.splitlines()) == 1


class Full(io.BytesIO):
    """A file on a disk that is full after one byte."""

    def write(self, data: Any, /) -> int:
        if self.tell():
            raise OSError(errno.ENOSPC, 'No space left on device')
        return super().write(data)


def test_a_full_disk_behind_an_error_of_torch_is_named() -> None:
    with pytest.raises(RuntimeError, match='unexpected pos') as caught:
        torch.save({'weight': torch.ones(3)}, Full())
    line = 'No space left on device; free some space, or write elsewhere (--work-dir, --output)'
    assert border.explain(caught.value) == (line, 2)


def test_the_message_of_a_worker_is_its_last_line() -> None:
    wrapped = 'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File "a"\nValueError: the cause\n'
    assert border.essence(ValueError(wrapped)) == 'ValueError: the cause'


def test_a_fault_is_one_line_and_its_traceback_is_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError('division\nby zero')

    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr(tools, 'main', fail)
    result = run('zoo')
    assert result.status == 1
    [line] = result.err.splitlines()
    found = re.fullmatch(
        r'seglight: unexpected ZeroDivisionError in .*test_border\.py, line \d+: division by zero; '
        r'the traceback is in (\S+\.txt); please report it if it is not your own code or config',
        line,
    )
    assert found, line
    assert Path(found[1]).parent == tmp_path
    kept = Path(found[1]).read_text()
    assert kept.startswith('Traceback (most recent call last)')
    assert 'in fail' in kept


def test_debug_prints_the_traceback_in_place_of_keeping_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise RecursionError('maximum recursion depth exceeded')

    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    monkeypatch.setattr(tools, 'main', fail)
    result = run('zoo', '--debug')
    assert result.status == 1
    assert result.err.startswith('Traceback (most recent call last)')
    assert result.err.splitlines()[-1].startswith('seglight: unexpected RecursionError')
    assert not list(tmp_path.iterdir())


def test_a_folder_for_the_traceback_that_is_not_there_is_no_fault(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    def refuse(**options: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('tempfile.mkstemp', refuse)
    monkeypatch.setattr(tools, 'main', fail)
    assert '--debug shows the traceback' in run('zoo').err


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='Linux alone has /dev/full')
@pytest.mark.parametrize('argv', [['--version'], ['zoo', 'fcn']])
def test_a_full_disk_under_the_output_is_one_line(argv: list[str], workspace: Path) -> None:
    with Path('/dev/full').open('w') as full:
        done = subprocess.run([sys.executable, '-m', 'seglight', *argv], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        'seglight: No space left on device; free some space, or write elsewhere (--work-dir, --output)\n'
    )


OWN = """
from pytorch_lightning import Callback

class Late(Callback):
    def __init__(self, kind: str = 'ValueError') -> None:
        self.kind = kind

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == 1:
            raise {'ValueError': ValueError, 'OSError': OSError(28, 'No space left on device', 'x.png'), 'MemoryError': MemoryError}[self.kind]
"""


@pytest.mark.parametrize(
    ('kind', 'status', 'said'),
    [
        ('ValueError', 1, 'unexpected ValueError in '),
        ('OSError', 2, "'x.png': No space left on device; free some space"),
        ('MemoryError', 2, 'out of memory; give a smaller data.batch_size'),
    ],
)
def test_what_ends_a_run_after_its_first_epoch_is_one_line_too(
    kind: str, status: int, said: str, tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path('own_late.py').write_text(OWN)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    result = run('fit', '-c', tiny_config, '--trainer.callbacks+=own_late.Late', f'--trainer.callbacks.kind={kind}')
    assert result.status == status
    [line] = result.err.splitlines()
    assert line.startswith(f'seglight: {said}')
    assert Path('work_dirs/exp1/epoch_1.ckpt').is_file()
