"""Put a job of SLURM into the queue again."""

from __future__ import annotations

import os
import signal
import subprocess

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning import Trainer

from seglight.errors import say, warn


def requeue_signal(trainer: Trainer) -> signal.Signals | None:
    """Return the signal by which SLURM asks a process of srun to save and requeue; None outside of such a job.

    It is that of Lightning's `SLURMEnvironment`: SIGUSR1, unless the trainer has one with another signal, or with
    `auto_requeue=False`. torchrun does not pass it on.
    """
    environment = getattr(trainer.strategy, 'cluster_environment', None)
    if environment is None and under_srun():
        environment = SLURMEnvironment()
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return None
    return environment.requeue_signal


def under_srun() -> bool:
    """Return whether srun, and not torchrun, started this process."""
    # The first condition spares users with srun on their PATH Lightning's advice to use it.
    return 'SLURM_NTASKS' in os.environ and SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()


def requeue() -> None:
    """Ask SLURM to put this job into the queue again; warn if it refuses."""
    array, job = os.environ.get('SLURM_ARRAY_JOB_ID'), os.environ.get('SLURM_JOB_ID', '')
    name = f'{array}_{os.environ.get("SLURM_ARRAY_TASK_ID", "")}' if array else job
    try:
        done = subprocess.run(['scontrol', 'requeue', name], capture_output=True, text=True, errors='replace')
        failure = (done.stderr.strip() or f'status {done.returncode}') if done.returncode else ''
    except OSError as error:
        failure = str(error)
    if failure:
        warn(f'SLURM cannot put job {name} into the queue again ({failure}); submit it again, and it resumes')
    else:
        say(f'Requeued   job {name}')
