"""Translate a whole mmseg config, as `tools/train.py` takes it, to settings of this project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seglight.config.mmseg.accumulation import steps
from seglight.config.mmseg.augmentation import train_transforms, tta_callback
from seglight.config.mmseg.datasets import data_sources, parts_of
from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.left_out import KEYS, left_out
from seglight.config.mmseg.model_and_schedule import counts_iterations, model_settings, runner_of, schedule_settings
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.mmseg.pipeline import data_settings
from seglight.config.mmseg.unsupported import check_supported
from seglight.config.settings import Origin, Settings, merge, paths
from seglight.errors import ConfigError, UsageError, one_line
from seglight.similar import nearest

#: The suffix of mmseg's configs.
SUFFIX = '.py'

#: Top-level keys that keep their meaning under another name.
_RENAMED = {'load_from': 'load_from', 'resume_from': 'ckpt_path', 'work_dir': 'work_dir', 'seed': 'seed_everything'}


#: Top-level keys that a file may lack and an option may set.
_OPTIONAL = frozenset({*_RENAMED, 'auto_resume', 'fp16', 'workflow', *(key.partition('.')[0] for key in KEYS)})


class WholeConfig:
    """A `.py` config of mmseg as settings.

    Args:
        path: the file, which is parsed and never executed.
        options: keys and values of mmseg's configs that override those of the file, as its `--cfg-options`.

    Attributes:
        settings: the model, the data, the schedule, and what surrounds them. Dicts such as the model replace inherited
            ones.
        notes: a clause for each key that has no effect.

    Raises:
        UsageError: names the file and the key that seglight cannot follow, and the cure.
    """

    def __init__(self, path: Path, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.shown = str(path.relative_to(zoo_folder()) if path.is_relative_to(zoo_folder()) else path)
        config = read_mmseg_config(path)
        try:
            for key, value in options:
                _set(config, key, value)
            values = translate(config)
            self.notes = left_out(config)
        except ConfigError as error:
            raise UsageError(f'{self.shown}: {error}') from error
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:  # unchecked types
            raise UsageError(f'{self.shown} is not a config of mmseg 0.x: {one_line(error)!r:.100}') from error
        self.settings = Settings(values, {key: Origin(self.shown) for key in paths(values)})

    @property
    def warning(self) -> str | None:
        """One line about the keys without effect, None if all have one."""
        return f'{self.shown}: without effect: {"; ".join(self.notes)}' if self.notes else None


def translate(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for a whole config; lists stand for its tuples.

    Raises:
        ConfigError: names the key of mmseg's config that seglight cannot follow.
    """
    check_supported(config)
    whole = {**config, 'runner': runner_of(config)}
    if config.get('fp16', {}) is None:
        del whole['fp16']
    accumulated = (config.get('optimizer_config') or {}).get('cumulative_iters', 1)
    data = data_settings(whole)
    data.pop('reduce_zero_label', None)  # each source has it
    parts = (
        _model(whole),
        {'data': {**data, **data_sources(whole), **_loading(whole)}},
        schedule_settings(whole),
        {'trainer': _loop(whole, accumulated)},
        _around(whole, accumulated),
    )
    merged: dict[str, Any] = {}
    for part in parts:
        merged = merge(merged, part, marks=True)
    return merged


def _set(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key as mmcv's `merge_from_dict`; a number is the index of a list item."""
    *groups, last = key.split('.')
    known = {*config, *_OPTIONAL}
    first = key.partition('.')[0]
    if first not in known:
        raise ConfigError(f'--cfg-options {key}', f"must set a key of the file, got '{first}'{nearest(first, known)}")
    node: Any = config
    for name in groups:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    if isinstance(node, list):
        node[int(last)] = merge(node[int(last)], value)
    elif isinstance(node, dict):
        node[last] = merge(node.get(last), value)
    else:
        raise ConfigError(f'--cfg-options {key}', f'cannot be set in {node!r:.60}')


def _model(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model, with `train_cfg` and `test_cfg`, which older configs have next to it."""
    settings = model_settings(dict(config))
    model = settings['model']
    for name in ('train_cfg', 'test_cfg'):
        if config.get(name) is not None:
            model['segmentor'].setdefault(name, config[name])
    if 'mean' not in model:  # mmseg then feeds values from 0 to 255
        model['mean'], model['std'] = [0.0] * 3, [1.0] * 3
    if len(config.get('workflow') or []) > 1:
        model['val_loss'] = True
    return settings


def _loading(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the transforms, the batch size and the number of loader processes."""
    data, parts = config['data'], parts_of(config, 'train')
    first, pipelines = parts[0], [part.values.get('pipeline', config.get('train_pipeline')) for part in parts]
    for part, pipeline in zip(parts, pipelines, strict=True):
        if _changing(pipeline) != _changing(pipelines[0]):
            raise ConfigError(f'{part.key}.pipeline', f'must be that of {first.key}, got another; all images share one')
    key = f'{first.key}.pipeline' if 'pipeline' in first.values else 'train_pipeline'
    loader = {**data, **(data.get('train_dataloader') or {})}
    found: dict[str, Any] = {'train_transforms': train_transforms(pipelines[0], key)}
    for old, new in (('samples_per_gpu', 'batch_size'), ('workers_per_gpu', 'num_workers')):
        if loader.get(old) is not None:
            found[new] = loader[old]
    return found


def _changing(pipeline: Any) -> list[Any]:
    """Return the steps of a pipeline without `LoadAnnotations`, which is a setting of each source."""
    return [step for step in pipeline or [] if not isinstance(step, dict) or step.get('type') != 'LoadAnnotations']


def _loop(config: Mapping[str, Any], accumulated: int) -> dict[str, Any]:
    """Return when to validate and to log, and test-time augmentation."""
    trainer: dict[str, Any] = {'enable_model_summary': False, 'benchmark': bool(config.get('cudnn_benchmark'))}
    interval = (config.get('evaluation') or {}).get('interval', 1)
    if counts_iterations(config):
        trainer |= {'val_check_interval': interval, 'check_val_every_n_epoch': None}
    else:
        trainer['check_val_every_n_epoch'] = interval
    if config.get('log_config'):
        trainer['log_every_n_steps'] = steps(config['log_config'].get('interval', 10), accumulated)
    callback = tta_callback(config)
    return trainer | ({'callbacks': [callback]} if callback else {})


def _around(config: Mapping[str, Any], accumulated: int) -> dict[str, Any]:
    """Return the checkpoints, W&B, and where the run starts and writes."""
    found = {new: config[old] for old, new in _RENAMED.items() if config.get(old) is not None}
    kept = config.get('checkpoint_config') or {}
    by_epoch, interval = kept.get('by_epoch', not counts_iterations(config)), kept.get('interval', 1)
    found['checkpoint'] = {
        'interval': interval if by_epoch else steps(interval, accumulated),
        'unit': 'epoch' if by_epoch else 'iter',
        'max_keep_ckpts': kept.get('max_keep_ckpts', -1),
    }
    best = (config.get('evaluation') or {}).get('save_best')
    if best not in (None, 'auto'):
        found['best_checkpoint'] = {'metric': best}
    for hook in (config.get('log_config') or {}).get('hooks') or []:
        if hook.get('type') in ('WandbLoggerHook', 'MMSegWandbHook'):
            names = ('project', 'entity', 'group', 'name', 'tags', 'notes')
            given = hook.get('init_kwargs') or {}
            found['wandb'] = {name: given[name] for name in names if given.get(name) is not None}
    if config.get('auto_resume'):
        found['auto_resume'] = True
    return found
