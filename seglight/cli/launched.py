"""What torchrun tells the processes that it starts."""

from __future__ import annotations

import os
from typing import Any

from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from seglight.cli.meeting import meet


def trainer_arguments(trainer: Any) -> dict[str, int]:
    """Return the numbers of devices and machines that torchrun was started with, unless set; meet the other processes.

    Args:
        trainer: the arguments of Lightning's `Trainer`, which would otherwise count the GPUs of this machine only.
    """
    if not TorchElasticEnvironment.detect():
        return {}
    meet()
    here, everywhere = int(os.environ['LOCAL_WORLD_SIZE']), int(os.environ['WORLD_SIZE'])
    found = {}
    if trainer.devices == 'auto':
        found['devices'] = here
    if trainer.num_nodes == 1:
        found['num_nodes'] = everywhere // here
    return found
