"""What torchrun or srun tells the processes that it starts."""

from __future__ import annotations

import os
from typing import Any

from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from seglight.callbacks.slurm import under_srun
from seglight.cli.meeting import meet


def trainer_arguments(trainer: Any) -> dict[str, int]:
    """Return the numbers of devices and machines that torchrun or srun was started with, unless set.

    The processes of torchrun meet here.

    Args:
        trainer: the arguments of Lightning's `Trainer`, which would otherwise count the GPUs of this machine only.
    """
    devices, machines = _launched()
    found = {}
    if trainer.devices == 'auto' and devices:
        found['devices'] = devices
    if trainer.num_nodes == 1 and machines:
        found['num_nodes'] = machines
    return found


def _launched() -> tuple[int, int]:
    """Return the numbers of processes on each machine, and of machines; 0 if unknown."""
    if TorchElasticEnvironment.detect():
        meet()
        local = int(os.environ['LOCAL_WORLD_SIZE'])
        return local, int(os.environ['WORLD_SIZE']) // local
    if under_srun():
        single = '1' if os.environ['SLURM_NTASKS'] == '1' else ''
        here, machines = os.environ.get('SLURM_NTASKS_PER_NODE', single), os.environ.get('SLURM_NNODES', single)
        return (int(here), int(machines)) if here.isdecimal() and machines.isdecimal() else (0, 0)
    return 0, 0
