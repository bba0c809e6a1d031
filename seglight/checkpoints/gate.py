"""Check the settings in a checkpoint before anything in them is imported, built, opened or downloaded.

A checkpoint may be untrusted. The gate is an allowlist: plain values, and the classes in
`seglight.checkpoints.allowed` with arguments that are numbers, words, lists and dicts. Anything else is refused:
it is dropped, with an error message for code that needs it. `--trust-checkpoint` skips the gate for your own files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglight.checkpoints.data_checks import (
    check_label,
    check_mixes,
    check_names,
    check_palette,
    check_range,
    check_sources,
    check_split,
    check_transforms,
)
from seglight.checkpoints.model_checks import check_model, check_optimizer
from seglight.checkpoints.plain_checks import Refused, check_value, shown
from seglight.config.settings import Key
from seglight.errors import CheckpointError

#: Keys of `trainer` that a checkpoint may set; none of them builds a class or names a file.
TRAINER = frozenset(
    {
        *('accelerator', 'strategy', 'devices', 'precision', 'max_epochs', 'min_epochs', 'max_steps', 'min_steps'),
        *('max_time', 'limit_train_batches', 'limit_val_batches', 'limit_test_batches', 'limit_predict_batches'),
        *('overfit_batches', 'val_check_interval', 'check_val_every_n_epoch', 'num_sanity_val_steps'),
        *('log_every_n_steps', 'enable_checkpointing', 'enable_progress_bar', 'enable_model_summary'),
        *('accumulate_grad_batches', 'gradient_clip_val', 'gradient_clip_algorithm', 'deterministic', 'benchmark'),
        *('inference_mode', 'use_distributed_sampler', 'detect_anomaly', 'barebones', 'sync_batchnorm'),
        *('reload_dataloaders_every_n_epochs', 'fast_dev_run'),
    }
)

#: Allowed words for these keys of `trainer`, which need no package but torch; others make Lightning import packages.
TRAINER_WORDS = {
    'accelerator': ('auto', 'cpu', 'gpu', 'cuda', 'mps'),
    'strategy': (
        *('auto', 'ddp', 'ddp_spawn', 'ddp_fork', 'ddp_notebook', 'fsdp', 'fsdp2'),
        *('ddp_find_unused_parameters_true', 'ddp_find_unused_parameters_false'),
        *('ddp_spawn_find_unused_parameters_true', 'ddp_spawn_find_unused_parameters_false'),
    ),
    'precision': (*('16', '32', '64', 'bf16', '16-true', '16-mixed', 'bf16-true', 'bf16-mixed', '32-true', '64-true'),),
}

#: Limit on the processes of a run.
MOST_DEVICES = 64

#: Groups that are checked key by key; only the user can set others, for example `wandb` with its URLs.
GROUPS = ('model', 'data', 'trainer', 'checkpoint', 'best_checkpoint')
PLAIN = ('seed_everything', 'report')

_CURE = 'pass --trust-checkpoint if the file is your own'


def admit(values: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    """Return the settings of a checkpoint that pass, and a message for each key that does not.

    Args:
        values: the whole config, or some of its groups.
        path: the checkpoint, for the messages.
    """
    admitted: dict[str, Any] = {}
    refused: dict[Key, str] = {}
    for group, inner in values.items():
        if group in PLAIN and _passes(_CHECKS.get((group,), check_value), inner, (group,), path, refused):
            admitted[group] = inner
        if group not in GROUPS:
            continue
        admitted[group] = {}
        if not isinstance(inner, dict):
            refused[(group,)] = f'{path}: {group} is not a mapping of keys to values'
            continue
        for name, value in inner.items():
            if not (isinstance(name, str) and name.isidentifier()) or (group == 'trainer' and name not in TRAINER):
                continue
            check = _CHECKS.get((group, name), check_value)
            if _passes(check, value, (group, name), path, refused):
                admitted[group][name] = value
    return admitted, refused


def _passes(check: Callable[[Any, Key], None], value: Any, key: Key, path: Path, refused: dict[Key, str]) -> bool:
    """Return whether the value of a key passes; otherwise add a message to `refused`."""
    try:
        check(value, key)
    except Refused as error:
        refused[key] = f'{path}: {".".join(error.key)}: {error}; {_CURE}'
    except RecursionError:
        refused[key] = f'{path}: {".".join(key)} has too many levels; {_CURE}'
    return key not in refused


def admit_hyperparameters(parameters: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the arguments of the segmentor in a checkpoint.

    Raises:
        CheckpointError: for the first that does not pass.
    """
    own = {**parameters}
    classes, palette = own.pop('classes', None), own.pop('palette', None)
    admitted, refused = admit({'model': own, 'data': {'classes': classes, 'palette': palette}}, path)
    for message in refused.values():
        raise CheckpointError(message)
    return {**admitted['model'], 'classes': classes, 'palette': palette}


def check_word(value: Any, key: Key) -> None:
    """Refuse a word for which Lightning would import a package."""
    if isinstance(value, str) and value not in TRAINER_WORDS[key[-1]]:
        raise Refused(f"must be one of {', '.join(TRAINER_WORDS[key[-1]][:6])}, got '{shown(value)}'", key)
    check_value(value, key)


def check_devices(value: Any, key: Key) -> None:
    """Refuse an excessive number of processes, as a number, a list or a text of either."""
    text = ','.join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    many = text.isdecimal() and (len(text) > 4 or int(text) > MOST_DEVICES)
    if many or text.count(',') >= MOST_DEVICES or len(text) > 400:
        raise Refused(f'must be at most {MOST_DEVICES} devices, got {shown(value)}', key)
    check_value(value, key)


def check_seed(value: Any, key: Key) -> None:
    """Refuse anything but a seed, or true and false, which Lightning accepts."""
    if value is not None and not isinstance(value, (bool, int)):
        raise Refused(f'must be an integer, got {shown(value)}', key)
    if value is not None and not 0 <= value < 2**32:
        raise Refused(f'must be from 0 to {2**32 - 1}, got {shown(value)}', key)


#: The checks of keys; all other keys may have any plain value.
_CHECKS: dict[Key, Callable[[Any, Key], None]] = {
    ('model', 'segmentor'): check_model,
    ('model', 'optimizer'): check_optimizer,
    ('trainer', 'accelerator'): check_word,
    ('trainer', 'strategy'): check_word,
    ('trainer', 'precision'): check_word,
    ('trainer', 'devices'): check_devices,
    ('data', 'classes'): check_names,
    ('data', 'palette'): check_palette,
    ('data', 'ignore_index'): check_label,
    ('data', 'image_range'): check_range,
    ('data', 'seed'): check_seed,
    ('seed_everything',): check_seed,
    ('data', 'train'): check_sources,
    ('data', 'val'): check_sources,
    ('data', 'test'): check_sources,
    ('data', 'split'): check_split,
    ('data', 'train_transforms'): check_transforms,
    ('data', 'val_transforms'): check_transforms,
    ('data', 'device_transforms'): check_transforms,
    ('data', 'mixes'): check_mixes,
}
