"""What starts quickly: commands that need no torch do not import it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: Packages that take a second or more to import.
HEAVY = ('torch', 'torchvision', 'pytorch_lightning', 'mmcv', 'mmseg', 'albumentations', 'jsonargparse')

CODE = f"""
import atexit, sys
from seglight.__main__ import main
atexit.register(lambda: print('imported:', *(name for name in {HEAVY!r} if name in sys.modules)))
main()
"""

TOOLS = (
    'setup',
    'data',
    'zoo',
    'info',
    'report',
    'plan',
    'sweep',
    'folds',
    'ensemble',
    'vote',
    'soup',
    'convert',
    'export',
    'benchmark',
    'completion',
)


def imported_by(*argv: str | Path) -> list[str]:
    """Run a command and return which of `HEAVY` it imported."""
    done = subprocess.run([sys.executable, '-c', CODE, *map(str, argv)], capture_output=True, text=True)
    assert 'Traceback' not in done.stderr, done.stderr
    *_, last = done.stdout.splitlines()
    return last.split()[1:]


@pytest.mark.parametrize('tool', TOOLS)
def test_help_of_a_tool_imports_no_torch(tool: str) -> None:
    assert imported_by(tool, '--help') == []


@pytest.mark.parametrize(
    'argv', [['--version'], ['zoo', 'pspnet'], ['zoo', 'pspnot'], ['vote', 'a.csv', '--output', 'b.csv']]
)
def test_nor_do_commands_that_need_none(argv: list[str], workspace: Path) -> None:
    assert imported_by(*argv) == []


def test_nor_does_a_vote(workspace: Path) -> None:
    for name in ('a', 'b'):
        Path(name).mkdir()
        Image.fromarray(np.tile(np.arange(9, dtype=np.uint8), (9, 1))).save(f'{name}/1.png')
        Path(f'{name}.csv').write_text('image_id,PredictionString\n1.png,"1 2\n1 2"\n')
    assert imported_by('vote', 'a', 'b', '--output', 'folder') == []
    assert imported_by('vote', 'a.csv', 'b.csv', '--output', 'voted.csv') == []


def test_nor_does_a_report(trained: Path, workspace: Path) -> None:
    assert imported_by('report', trained) == []
