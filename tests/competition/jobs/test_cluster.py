"""Commands run as jobs of submitit's local executor; its SLURM executor meets stand-ins for SLURM's programs."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result, write_tiny_config

from seglight import __version__
from seglight.competition.jobs.cluster import Cluster, SubmititJob
from seglight.competition.jobs.executor import Job
from seglight.competition.jobs.remote import RemoteCommand
from seglight.competition.jobs.running import Command, Runner
from seglight.errors import Interrupted, TrainingError, UsageError

pytestmark = pytest.mark.extras

#: A command that saves on SIGTERM, as `fit` does, and otherwise would run for a minute.
SAVES = """
import signal, sys, time
def save(*_):
    print('saved', flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print('started', flush=True)
time.sleep(60)
"""


@pytest.fixture
def local() -> Cluster:
    pytest.importorskip('submitit')
    return Cluster('local', ['timeout_min=10'])


def command(folder: Path, name: str, *words: str) -> Command:
    return Command(name, list(words), folder / name / '.done', folder / f'{name}.log', folder / name)


def test_commands_run_as_jobs_and_a_failure_is_explained(workspace: Path, local: Cluster) -> None:
    good = command(workspace, 'good', '--version')
    Runner(1, local).run([[good]])
    assert good.marker.is_file()
    assert good.log.read_text() == f'seglight {__version__}\n'
    assert good.log.with_suffix('.job').read_text().startswith('local ')
    bad = command(workspace, 'bad', 'vote', 'none.csv', '--output', 'voted.csv')
    with pytest.raises(TrainingError, match=r'^bad failed: vote: none.csv does not exist \(all output is in .*bad.log'):
        Runner(1, local).run([[bad], [command(workspace, 'never', '--version')]])
    assert not bad.marker.exists()
    assert not (workspace / 'never.log').exists()


def test_a_signal_reaches_the_command_of_a_job(workspace: Path, local: Cluster) -> None:
    job, log = [sys.executable, '-c', SAVES], workspace / 'run.log'
    seen: list[str] = []

    def show(line: str) -> None:
        seen.append(line)
        if line == 'started':
            jobs[0].send_signal(signal.SIGINT)

    jobs: list[Job] = []
    assert local.communicate(job, log, {}, jobs.append, show) == (Interrupted.status, 'saved')
    assert seen == ['started', 'saved']


def test_at_the_time_limit_the_command_saves_and_the_job_runs_it_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('submitit')
    monkeypatch.setenv('SLURM_NTASKS', '1')
    code = f'import os; print(os.environ.get("SLURM_NTASKS"), os.environ["GPUS"])\n{SAVES}'
    remote = RemoteCommand([sys.executable, '-c', code], Path('run.log'), {'GPUS': '3'})
    again = []

    def limit(number: int, frame: object) -> None:
        if 'started' in Path('run.log').read_text():
            signal.setitimer(signal.ITIMER_REAL, 0)
            again.append(remote.checkpoint())

    before = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGALRM, limit)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        remote()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGALRM, before[1])
    assert Path('run.log').read_text().splitlines() == ['None 3', 'started', 'saved']
    assert Path('run.status').read_text() == f'{Interrupted.status}\n'
    function = again[0].function
    assert (function.words, function.log, function.environment) == (remote.words, remote.log, remote.environment)


def test_wrong_options_and_a_missing_cluster_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip('submitit')
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UsageError, match=r'^--cluster slurm: Could not detect "srun"'):
        Cluster('slurm')
    with pytest.raises(UsageError, match=r"^--cluster-option must look like timeout_min=240, got 'fast'$"):
        Cluster('local', ['fast'])
    with pytest.raises(UsageError, match=r'^--cluster local: Parameter "timeout_min" expected type'):
        Cluster('local', ['timeout_min=long'])
    with pytest.raises(UsageError, match=r"^--cluster local: Unknown argument 'partitoin' for executor 'slurm'"):
        Cluster('local', ['slurm_partitoin=gpu'])


#: Stand-ins: sbatch keeps the script and accepts job 4711; sacct reports that it waits until its result is there.
PROGRAMS = {
    'srun': 'exit 0',
    'sbatch': 'cp "$1" sbatch.sh; echo "Submitted batch job 4711"',
    'sacct': 'echo "JobID|State|NodeList"; echo "4711|PENDING|"',
    'scancel': 'echo "$@" >> scancel.txt',
}


def test_a_job_of_slurm_has_the_options_and_a_second_command_waits_for_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitit = pytest.importorskip('submitit')
    folder = workspace / 'bin'
    folder.mkdir()
    for name, text in PROGRAMS.items():
        (folder / name).write_text(f'#!/bin/sh\n{text}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    cluster = Cluster('slurm', ['slurm_partition=gpu', 'gpus_per_node=2'])
    log = workspace / 'run.log'

    class Killed(Exception):
        pass

    def killed(job: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        cluster.communicate(['true'], log, {}, killed, print)
    script = Path('sbatch.sh').read_text()
    for line in ('--partition=gpu', '--gpus-per-node=2', '--time=1440'):
        assert f'#SBATCH {line}\n' in script
    assert Path('run.job').read_text() == 'slurm 4711\n'
    Path('sbatch.sh').unlink()

    def finish(job: object) -> None:
        paths = submitit.core.utils.JobPaths(workspace / '.submitit', '4711')
        paths.result_pickle.write_bytes(pickle.dumps(Trap()))  # of a stranger: it is never read
        log.write_text('done\n')
        Path('run.status').write_text('0\n')

    assert cluster.communicate(['true'], log, {}, finish, print) == (0, 'done')
    assert not Path('sbatch.sh').exists()  # nothing was submitted again
    assert not Path('trapped').exists()


class Trap:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ('touch trapped',)


def test_a_job_without_a_status_is_explained(workspace: Path, local: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('seglight.competition.jobs.executor.LATE', 0.5)
    log = workspace / 'run.log'

    def kill(job: Job) -> None:
        assert isinstance(job, SubmititJob)
        os.kill(int(job.submitted.job_id), signal.SIGKILL)

    status, last = local.communicate([sys.executable, '-c', 'import time; time.sleep(60)'], log, {}, kill, print)
    assert status == 1
    assert 'ended in the state' in last


@pytest.mark.slow
def test_a_search_runs_on_a_cluster(
    workspace: Path, data_root: Path, local: Cluster, run: Callable[..., Result]
) -> None:
    pytest.importorskip('optuna')
    config = write_tiny_config(workspace / 'tiny.yaml', data_root)
    Path('search.yaml').write_text('data.batch_size: {choices: [2, 4]}\n')
    cluster = ['--cluster', 'local', '--cluster-option', 'timeout_min=10']
    search = ['sweep', '--config', config, '--search', 'search.yaml', '--trials', '1', '--trainer.max_epochs=1']
    done = run(*search, *cluster)
    assert done.status == 0, done.err
    assert Path('work_dirs/sweep1/trial1/.trained').is_file()
    assert 'Best' in done.out
    assert Path('work_dirs/sweep1/search1.job').is_file()
