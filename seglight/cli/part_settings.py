"""The settings that the parts of one prediction must share."""

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
