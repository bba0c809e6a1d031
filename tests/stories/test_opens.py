"""How often each command opens the checkpoint that it is given."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

import seglight

Run = Callable[..., Result]


class Opens:
    """Counts how often files are opened; a hook of Python's stays for good, so that there is one."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Count the opening of a file that is counted."""
        if event == 'open' and self.counted and isinstance(arguments[0], (str, os.PathLike)):
            path = os.path.realpath(arguments[0])
            if path in self.counted:
                self.counted[path] += 1


OPENS = Opens()


@pytest.fixture
def opens(trained: Path, tiny_config: Path) -> Iterator[Callable[[], int]]:
    """Copies of two checkpoints in the working folder, and how often the first of them was opened."""
    assert tiny_config
    for name, source in (('a.ckpt', 'epoch_1.ckpt'), ('b.ckpt', 'epoch_2.ckpt')):
        shutil.copy(trained / source, name)
    path = str(Path('a.ckpt').resolve())
    OPENS.counted = {path: 0}
    yield lambda: OPENS.counted[path]
    OPENS.counted = {}


#: Commands that read the whole file, and those that leave the tensors on disk, for which torch opens it again. The
#: second checkpoint of a prediction is identified by its checksums before anything is loaded.
ONCE = [
    'predict --ckpt a.ckpt',
    'validate --ckpt a.ckpt',
    'test --ckpt a.ckpt --data.test=val',
    'fit --ckpt a.ckpt',
    'fit --ckpt a.ckpt --config tiny.yaml',
    'export a.ckpt',
]
TWICE = [
    'info a.ckpt',
    'predict --ckpt b.ckpt --ckpt a.ckpt',
    'soup a.ckpt b.ckpt --output soup.ckpt',
    'fit --config tiny.yaml --load-from a.ckpt',
    'data check --ckpt a.ckpt',
]


@pytest.mark.parametrize(
    ('command', 'times'), [*((command, 1) for command in ONCE), *((command, 2) for command in TWICE)]
)
def test_a_command_opens_it_as_often_as_it_must(command: str, times: int, opens: Callable[[], int], run: Run) -> None:
    done = run(*command.split())
    assert done.status == 0, done.err
    assert opens() == times


def test_a_predictor_leaves_tensors_on_disk(opens: Callable[[], int]) -> None:
    seglight.load('a.ckpt', 'cpu')
    assert opens() == 2


@pytest.mark.usefixtures('opens')
def test_a_run_that_finds_it_opens_it_once(run: Run) -> None:
    assert run('fit', '--config', 'tiny.yaml', '--trainer.max_epochs=1').status == 0
    path = str(Path('work_dirs/exp1/epoch_1.ckpt').resolve())
    OPENS.counted = {path: 0}
    done = run('fit', '--config', 'tiny.yaml', '--auto-resume', '--work-dir', 'exp1')
    assert done.status == 0, done.err
    assert OPENS.counted[path] == 1
