"""Name the keys of an mmseg config that have no meaning in seglight, and what to use instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seglight.config.mmseg.pipeline import augmented_test, flip_directions, unsupported_steps, view_sizes
from seglight.config.mmseg.unsupported import value_of
from seglight.config.settings import dicts
from seglight.similar import nearest

#: Keys with the values that change nothing, and what to use instead of others.
KEYS: dict[str, tuple[tuple[Any, ...], str]] = {
    'evaluation.start': ((None, 0), 'validation runs from the start'),
    'evaluation.rule': ((None, 'greater'), 'set best_checkpoint.metric'),
    'evaluation.out_dir': ((None,), 'use --work-dir'),
    'evaluation.classwise': ((None, False), 'set model.per_class'),
    'checkpoint_config.save_optimizer': ((None, True), 'seglight export writes weights alone'),
    'checkpoint_config.out_dir': ((None,), 'use --work-dir'),
    'checkpoint_config.save_last': ((None, True), 'the last checkpoint is always kept'),
    'fp16.loss_scale': ((None, 'dynamic'), 'the scale is dynamic'),
    'optimizer_config.loss_scale': ((None, 'dynamic'), 'the scale is dynamic'),
    'optimizer_config.detect_anomalous_params': ((None, False), 'use --trainer.detect_anomaly=true'),
    'find_unused_parameters': ((None, False), 'use --trainer.strategy=ddp_find_unused_parameters_true'),
    'gpus': ((None, 1), 'use --trainer.devices'),
    'gpu_ids': ((None,), 'use --trainer.devices'),
    'device': ((None, 'cuda'), 'use --trainer.accelerator'),
    'auto_scale_lr': ((None,), 'set model.optimizer.lr'),
    'diff_seed': ((None, False), 'the seed of augmentations is the same on any number of processes'),
    'mp_start_method': ((None, 'fork'), 'Python chooses it'),
    'opencv_num_threads': ((None, 0), 'each loader process has one thread'),
    'omp_num_threads': ((None, 1), 'set OMP_NUM_THREADS'),
}

#: The keys of mmcv's and mmseg's groups that are translated or change nothing; those in `KEYS` are known, too.
GROUPS = {
    'runner': {'type', 'max_epochs', 'max_iters'},
    'evaluation': {
        *('type', 'interval', 'metric', 'pre_eval', 'save_best', 'by_epoch', 'efficient_test', 'gpu_collect'),
        *('broadcast_bn_buffer', 'tmpdir', 'priority', 'format_only', 'imgfile_prefix', 'greater_keys', 'less_keys'),
        *('dynamic_intervals', 'file_client_args', 'logger', 'test_fn'),
    },
    'checkpoint_config': {
        *('type', 'interval', 'by_epoch', 'max_keep_ckpts', 'sync_buffer', 'create_symlink', 'filename_tmpl', 'meta'),
        *('file_client_args', 'priority'),
    },
    'optimizer_config': {
        *('type', 'grad_clip', 'cumulative_iters', 'coalesce', 'bucket_size_mb', 'distributed', 'bucket_cap_mb'),
    },
    'fp16': {'type', 'distributed', 'coalesce', 'bucket_size_mb', 'grad_clip', 'cumulative_iters'},
    'log_config': {'interval', 'hooks'},
}

#: Keys at the top, where a config may also have variables of its own: only what is nearly one of these is a fault.
_TOP = (
    *('model', 'data', 'optimizer', 'optimizer_config', 'lr_config', 'runner', 'evaluation', 'checkpoint_config'),
    *('log_config', 'fp16', 'load_from', 'resume_from', 'workflow', 'cudnn_benchmark', 'dist_params', 'log_level'),
    *('custom_imports', 'custom_hooks', 'work_dir', 'dataset_type', 'data_root', 'train_pipeline', 'test_pipeline'),
    *('val_pipeline', 'img_norm_cfg', 'norm_cfg', 'crop_size', 'auto_resume'),
)

#: Keys of `data` that are translated; mmseg passes all others to its loaders.
_DATA = frozenset({'train', 'val', 'test', 'samples_per_gpu', 'workers_per_gpu', 'train_dataloader'})

#: Keys of `data` and of a data set that change nothing here.
_SAME = frozenset({'persistent_workers', 'pin_memory', 'shuffle', 'drop_last', 'seed', 'prefetch_factor'})


def left_out(config: Mapping[str, Any]) -> list[str]:
    """Return a clause for each key whose value has no effect, with what to use instead."""
    parts = (_plain, _unknown, _hooks, _data, _pixels)
    return list(dict.fromkeys(clause for part in parts for clause in part(config)))


def _plain(config: Mapping[str, Any]) -> Iterator[str]:
    for key, (neutral, instead) in KEYS.items():
        if value_of(config, key) not in neutral:
            yield f'{key} ({instead})'


def _unknown(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that neither mmcv nor mmseg has, which are misspelt."""
    for group, names in GROUPS.items():
        known = names | {key.partition('.')[2] for key in KEYS if key.startswith(f'{group}.')}
        for name in sorted((config.get(group) or {}).keys() - known, key=str):
            yield f'{group}.{name} (mmseg has no such key{nearest(str(name), known)})'
    for name in sorted(config.keys() - {*_TOP, *KEYS}, key=str):
        if suggestion := nearest(str(name), _TOP, cutoff=0.85):
            yield f'{name} (mmseg has no such key{suggestion})'


def _hooks(config: Mapping[str, Any]) -> Iterator[str]:
    for hook in (config.get('log_config') or {}).get('hooks') or []:
        name = str(hook.get('type'))
        if name not in ('TextLoggerHook', 'TensorboardLoggerHook', 'WandbLoggerHook', 'MMSegWandbHook'):
            yield f'{name} (metrics.csv has the metrics; trainer.logger takes loggers of Lightning)'
        elif 'Wandb' in name and not (hook.get('init_kwargs') or {}).get('project'):
            yield f'{name} without init_kwargs.project (set wandb.project)'


def _data(config: Mapping[str, Any]) -> Iterator[str]:
    data = config.get('data') or {}
    for name in sorted(data.keys() - _DATA - _SAME, key=str):
        yield f'data.{name} (use data.batch_size and data.num_workers)'
    others = (data.get('train_dataloader') or {}).keys() - {'samples_per_gpu', 'workers_per_gpu'} - _SAME
    for name in sorted(others, key=str):
        yield f'data.train_dataloader.{name} (use data.batch_size and data.num_workers)'
    for _, part in dicts([data.get(name) for name in ('train', 'val', 'test')]):
        for name in ('gt_seg_map_loader_cfg', 'file_client_args', 'separate_eval'):
            if part.get(name) not in (None, {'backend': 'disk'}):
                yield f'{name} (files are read from disk, and metrics are those of all images)'
    if not data.get('val'):
        yield 'no data.val (set data.val, or hold out a part with --data.split.val_fraction=0.1)'


def _pixels(config: Mapping[str, Any]) -> Iterator[str]:
    steps = [part for _, part in dicts([config.get('train_pipeline'), config.get('data')])]
    if any(part.get('type') == 'Normalize' and part.get('to_rgb') is False for part in steps):
        yield 'to_rgb=False (images are RGB; mean and std are reversed, weights trained on BGR do not fit)'
    if not any(part.get('type') == 'Normalize' for part in steps):
        yield 'no Normalize (images are RGB from 0 to 255, mmseg would feed BGR; weights trained on BGR do not fit)'
    augmented = augmented_test(config) or {}
    size, scales = view_sizes(augmented)
    if size is not None and len(scales) > 1:
        yield 'the order of resizing in its views (they are scaled from the image at img_scale, in mmseg from the file)'
    if augmented.get('flip') and len(flip_directions(augmented)) > 1:
        yield 'the weight of its unmirrored view (mmseg predicts it once for each flip_direction, seglight once)'
    for note in unsupported_steps(config):
        yield f'{note} (sizes are padded to what the model takes; data.val_transforms can resize)'
