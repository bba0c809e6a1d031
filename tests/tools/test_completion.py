"""`seglight completion`: what a shell completes."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope='module')
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = subprocess.run([sys.executable, '-m', 'seglight', 'completion', 'bash'], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    path = tmp_path_factory.mktemp('completion') / 'seglight'
    path.write_text(done.stdout)
    return path


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (['seglight', 'pre'], ['predict']),
        (['seglight', 'zo'], ['zoo']),
        (['seglight', 'fit', '--model.zoo_'], ['--model.zoo_schedule']),
        (['seglight', 'fit', '--resume'], ['--resume_from']),
        (['seglight', 'fit', '--help_'], ['--help_all']),
        (['seglight', 'vote', '--help-'], ['--help-all']),
    ],
)
def test_bash_completes_commands_and_options(script: Path, words: list[str], expected: list[str]) -> None:
    line = f'source {script}; COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; _shtab_seglight; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(['bash', '-c', line], capture_output=True, text=True)
    assert done.stdout.split() == expected, done
