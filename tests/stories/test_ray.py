"""Ray starts the processes of a run, and again after one was killed; folds and searches run as its tasks."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from compare_runs import differences
from conftest import Result, write_tiny_config
from watched_runs import WATCH, grouped, losses, validations

from seglight.cli.ray_start import LOCAL, connected

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != 'linux', reason='starts a cluster on loopback'),
]


@pytest.fixture(scope='session')
def cluster() -> Iterator[set[str]]:
    """Ray on loopback with two CPUs for all commands of this process, since it takes long to start.

    Gives the addresses at which this process listened before, for example for a group of processes of another test.
    """
    pytest.importorskip('ray')
    before = listening(descendants(os.getpid()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('seglight.cli.ray_start.cores', lambda: 2)
        with connected(LOCAL):
            yield before


def descendants(process: int) -> set[int]:
    """Return a process and those that it started."""
    table = subprocess.run(['ps', '-e', '-o', 'pid=,ppid='], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in table.splitlines()]
    found = {process}
    while more := {pid for pid, parent in pairs if parent in found} - found:
        found |= more
    return found


def listening(processes: set[int]) -> set[str]:
    """Return the `address:port` at which processes listen, in hexadecimal, the bytes of each word reversed (Linux)."""
    sockets = set()
    for process in processes:
        for file in Path(f'/proc/{process}/fd').glob('*'):
            with suppress(OSError):
                sockets.add(str(file.readlink()))
    rows = [line.split() for name in ('tcp', 'tcp6') for line in Path('/proc/net', name).read_text().splitlines()[1:]]
    return {row[1] for row in rows if row[3] == '0A' and f'socket:[{row[9]}]' in sockets}


def test_it_listens_on_loopback_only(cluster: set[str]) -> None:
    places = listening(descendants(os.getpid())) - cluster
    assert len(places) > 3
    assert {place.partition(':')[0] for place in places} <= {
        '0100007F',
        '0000000000000000FFFF00000100007F',
        '0' * 24 + '01000000',
    }


def test_two_processes_train_what_one_trains_also_after_a_kill(
    cluster: set[str], data_root: Path, workspace: Path, run: Callable[..., Result]
) -> None:
    config = grouped(write_tiny_config(workspace / 'tiny.yaml', data_root))
    (workspace / 'watching.py').write_text(WATCH)
    command = ['fit', '--config', str(config), '--trainer.callbacks+=watching.Watch', '--work-dir']
    on_ray = ['--data.batch_size=2', '--ray', 'local', '--ray-workers', '2']

    def fit(name: str, *words: str) -> Result:
        result = run(*command, name, *words)
        assert result.status == 0, result
        Path('losses').rename(f'{name}_losses')
        return result

    fit('alone')
    whole = fit('whole', *on_ray)
    assert len(list(Path('whole_losses').iterdir())) == 2
    np.testing.assert_allclose(losses('whole_losses'), losses('alone_losses'), rtol=2e-5)
    assert len(losses('alone_losses')) == 20
    assert validations('whole') == validations('alone')
    assert whole.out.count('Run        whole') == 2  # as a run alone prints it: at its start and at its end
    assert whole.out.count('epoch 10/10') == 1
    assert '  mIoU  ' in whole.out
    assert not list(Path('work_dirs').glob('.ray*'))

    Path('kill').touch()
    killed = fit('killed', *on_ray, '--ray-max-failures', '1')
    assert not Path('kill').exists()
    assert killed.out.count('Resuming from killed/iter_6.ckpt') == 1
    assert differences(Path('whole'), Path('killed')) == []


def test_folds_and_trials_are_tasks(
    cluster: set[str], data_root: Path, workspace: Path, run: Callable[..., Result]
) -> None:
    pytest.importorskip('optuna')
    config = str(write_tiny_config(workspace / 'tiny.yaml', data_root))
    short = ['--trainer.max_epochs=1', '--ray', 'local']
    done = run('folds', '--config', config, '--folds', '2', '--jobs', '2', *short)
    assert done.status == 0, done
    assert 'tiny, fold 1 of 2: epoch 1/1' in done.out
    folder = Path('work_dirs/folds1')
    assert len(list(folder.glob('**/.trained'))) == 2
    assert (folder / 'scores.csv').is_file()
    assert len(list(folder.glob('**/*.status'))) == 2

    Path('search.yaml').write_text('data.batch_size: {choices: [2, 4]}\n')
    done = run('sweep', '--config', config, '--search', 'search.yaml', '--trials', '1', *short)
    assert done.status == 0, done
    assert 'Best' in done.out
    assert Path('work_dirs/sweep1/search1.status').read_text() == '0\n'
