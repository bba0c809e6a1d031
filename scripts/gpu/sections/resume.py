"""Deterministic mode: the same command gives the same weights, and a resumed run ends like one that never stopped."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from compare_runs import unequal

from gpu.lab import CLASSES, Lab
from gpu.results import RIGHT, Row
from seglight.__main__ import run
from seglight.config.files import SHIPPED

MODELS = ('segformer_b0', 'fast_scnn', 'deeplabv3plus_r50')
COMPARED = ('state_dict', 'optimizer_states', 'lr_schedulers')


def resume(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each model."""
    del argument
    for model in MODELS[1:2] if lab.tiny else MODELS:
        folder = Path(lab.folder, 'resume', model)
        folder.mkdir(parents=True)
        config = write_config(lab, model, folder)
        options = ['--trainer.max_steps=6', '--trainer.deterministic=true', '--trainer.limit_val_batches=1']
        options += ['--checkpoint.unit=iter', '--checkpoint.interval=3', '--checkpoint.max_keep_ckpts=-1']
        fit = ['fit', '--config', str(config), *options]
        commands = {
            'first': fit,
            'again': fit,
            'resumed': [*fit, '--ckpt', str(folder / 'first/iter_3.ckpt')],
        }
        row: Row = {'model': model}
        try:
            for name, command in commands.items():
                seglight([*command, '--work-dir', str(folder / name)])
            first, again, resumed = (contents(folder / name / 'iter_6.ckpt') for name in commands)
            row['same command twice'] = again_equal = not list(unequal(first, again, ''))
            row['resumed after 3 of 6 steps'] = resumed_equal = not list(unequal(first, resumed, ''))
            row[RIGHT] = again_equal and resumed_equal
        except CommandFailedError as error:
            row |= {'error': str(error), RIGHT: False}
        finally:
            torch.use_deterministic_algorithms(False)
            torch.backends.cudnn.deterministic = False
        yield row
        lab.tidy()


class CommandFailedError(Exception):
    """A command of seglight did not end with status 0."""


def seglight(command: list[str]) -> None:
    """Run a command in this process.

    Raises:
        CommandFailedError: with the last line that it printed, if its status is not 0.
    """
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = run(command)
    print(errors.getvalue(), flush=True)
    if status:
        raise CommandFailedError((errors.getvalue().strip().splitlines() or [f'status {status}'])[-1])


def write_config(lab: Lab, model: str, folder: Path, **trainer: Any) -> Path:
    """Write a config that trains a model on the generated images."""
    crop = {'height': min(lab.side, 128), 'width': min(lab.side, 128)}
    config = {
        '_base_': [str(SHIPPED / name) for name in ('schedules/sgd_poly.yaml', 'runtime.yaml')],
        'model': {'segmentor': lab.model(model)},
        'data': {
            'root': lab.root,
            'classes': CLASSES,
            'train_transforms': [{'type': 'RandomCrop', **crop}, {'type': 'HorizontalFlip', 'p': 0.5}],
            'batch_size': 4,
            'num_workers': min(2, lab.workers),
        },
        'report': False,
        'trainer': {'accelerator': lab.device, 'devices': 1, **trainer},
    }
    path = folder / 'config.yaml'
    path.write_text(yaml.safe_dump(config))
    return path


def contents(checkpoint: Path) -> dict[str, Any]:
    """Return the entries of a checkpoint that must be equal."""
    stored = torch.load(checkpoint, map_location='cpu', weights_only=True)
    return {name: stored[name] for name in COMPARED}
