"""The settings that the parts of one prediction, or a run and its resumption, must share."""

from __future__ import annotations

import copy
from typing import Any

#: Settings that may differ between parts: which part it is, and what depends on the machine alone.
OWN = (
    *('ckpt_path', 'ensemble', 'output', 'part', 'resume', 'trust_checkpoint', 'config'),
    *(f'data.{name}' for name in ('num_workers', 'prefetch_to_device', 'cache', 'seed')),
    *(
        f'trainer.{name}'
        for name in (
            *('accelerator', 'strategy', 'devices', 'num_nodes', 'logger', 'default_root_dir', 'profiler'),
            *('enable_progress_bar', 'enable_model_summary', 'enable_checkpointing', 'log_every_n_steps'),
        )
    ),
)

#: Settings of the data, the model and the trainer that change predictions.
CHANGING: dict[str, tuple[str, ...]] = {
    'data': ('classes', 'test', 'root', 'img_dir', 'val_transforms', 'image_range'),
    'model': ('segmentor', 'mean', 'std'),
    'trainer': ('precision',),
}


def changing_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that change predictions, as plain values.

    Args:
        settings: all resolved settings of `predict`.
    """
    unused = ('test', 'root', 'img_dir') if settings.get('input') else ()
    found = {
        group: {name: settings[group].get(name) for name in names if name not in unused}
        for group, names in CHANGING.items()
    }
    callbacks = settings['trainer'].get('callbacks') or []  # others may watch a run, and watch it no more
    found['trainer']['callbacks'] = [each for each in callbacks if each['class_path'].startswith('seglight.')]
    return found


def part_settings(settings: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Return what the predictions of a part depend on, as plain values.

    Args:
        settings: all resolved settings of `predict`.
        facts: what identifies the checkpoints and the options.
    """
    shared = copy.deepcopy(settings)
    for key in (*OWN, *(['data.test', 'data.root'] if settings.get('input') else [])):
        *groups, name = key.split('.')
        values: Any = shared
        for group in groups:
            values = values.get(group) or {}
        values.pop(name, None)
    return {'predicted_by': facts, **shared}
