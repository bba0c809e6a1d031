"""Runs of several processes whose losses are kept, and of which one process is killed once."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

#: A callback that keeps the loss of each step, and once ends the second process before its eighth step, as `kill -9`,
#: if there is a file `kill`; the variables rename what it reads and writes.
WATCH = """
import json, os, signal
from pathlib import Path
from pytorch_lightning import Callback

class Watch(Callback):
    def __init__(self):
        self.losses = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        marker = Path(os.environ.get('KILL_ONCE', 'kill'))
        if trainer.global_step == 7 and trainer.global_rank == 1 and marker.is_file():
            marker.unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses[trainer.global_step] = float(outputs['loss'])

    def on_train_end(self, trainer, pl_module):
        path = Path(os.environ.get('LOSSES', 'losses')) / f'{trainer.global_rank}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(self.losses))
"""


def grouped(config: Path) -> Path:
    """Let a config train with group normalisation, whose result depends on no other image, in 20 steps."""
    values = yaml.safe_load(config.read_text())
    parts = values['model']['segmentor']
    for part in (parts['backbone'], parts['decode_head'], parts['auxiliary_head']):
        part['norm_cfg'] = {'type': 'GN', 'num_groups': 2}
    parts['decode_head']['dropout_ratio'] = parts['auxiliary_head']['dropout_ratio'] = 0
    values['trainer'] |= {'max_epochs': 10, 'check_val_every_n_epoch': 5}
    values['checkpoint'] = {'unit': 'iter', 'interval': 3}
    config.write_text(yaml.safe_dump(values))
    return config


def losses(folder: str) -> Any:
    """The loss of each step, averaged over the processes."""
    return np.mean([list(json.loads(path.read_text()).values()) for path in Path(folder).iterdir()], axis=0)


def validations(run: str) -> list[dict[str, str]]:
    with Path(run, 'metrics.csv').open() as file:
        rows = [{name: text for name, text in row.items() if name.startswith('val/')} for row in csv.DictReader(file)]
    return [row for row in rows if row['val/mIoU']]
