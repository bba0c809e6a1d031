"""Keys without effect are named, each with what to use instead."""

from typing import Any

import pytest

from seglight.config.mmseg.left_out import left_out

SILENT: dict[str, Any] = {
    'dist_params': {'backend': 'nccl'},
    'log_level': 'INFO',
    'workflow': [['train', 1]],
    'crop_size': [512, 512],
    'train_pipeline': [{'type': 'Normalize', 'mean': [0, 0, 0]}],
    'log_config': {'interval': 50, 'hooks': [{'type': 'TextLoggerHook'}]},
    'checkpoint_config': {'interval': 100, 'save_optimizer': True},
    'evaluation': {'interval': 100, 'metric': 'mIoU', 'pre_eval': True, 'start': None},
    'classes': ['a', 'b'],  # a variable of the config's own
    'data': {'train': {}, 'val': {'img_dir': 'a'}, 'samples_per_gpu': 2, 'persistent_workers': True},
}


def test_what_seglight_does_anyway_needs_no_line() -> None:
    assert left_out(SILENT) == []


@pytest.mark.parametrize(
    ('change', 'clause'),
    [
        ({'evaluation': {'start': 500}}, 'evaluation.start (validation runs from the start)'),
        ({'checkpoint_config': {'out_dir': 'x'}}, 'checkpoint_config.out_dir (use --work-dir)'),
        ({'fp16': {'loss_scale': 512.0}}, 'fp16.loss_scale (the scale is dynamic)'),
        ({'gpu_ids': [0]}, 'gpu_ids (use --trainer.devices)'),
        ({'find_unused_parameters': True}, 'use --trainer.strategy=ddp_find_unused_parameters_true'),
        ({'log_config': {'hooks': [{'type': 'NeptuneLoggerHook'}]}}, 'NeptuneLoggerHook (metrics.csv'),
        ({'data': {**SILENT['data'], 'val_dataloader': {'samples_per_gpu': 1}}}, 'data.val_dataloader (use'),
        ({'data': {'train': {}}}, 'no data.val (set data.val, or hold out'),
        ({'train_pipeline': [{'type': 'Normalize', 'to_rgb': False}]}, 'to_rgb=False (images are RGB'),
        ({'train_pipeline': []}, 'no Normalize (images are RGB from 0 to 255, mmseg would feed BGR'),
        ({'log_config': {'hooks': [{'type': 'WandbLoggerHook'}]}}, 'WandbLoggerHook without init_kwargs.project'),
        ({'test_pipeline': [{'type': 'ResizeToMultiple'}]}, 'ResizeToMultiple in its test pipeline'),
        (
            {
                'test_pipeline': [
                    {'type': 'MultiScaleFlipAug', 'flip': True, 'flip_direction': ['horizontal', 'vertical']}
                ]
            },
            'the weight of its unmirrored view (mmseg predicts it once for each flip_direction, seglight once)',
        ),
        ({'data': {'val': {'img_dir': 'a', 'gt_seg_map_loader_cfg': {'x': 1}}}}, 'gt_seg_map_loader_cfg'),
        ({'runner': {'max_iter': 5}}, "runner.max_iter (mmseg has no such key; did you mean 'max_iters'?)"),
        ({'evaluation': {'intervall': 7}}, "evaluation.intervall (mmseg has no such key; did you mean 'interval'?)"),
        ({'checkpoint_config': {'keep': 7}}, 'checkpoint_config.keep (mmseg has no such key)'),
        ({'fp_16': {'loss_scale': 'dynamic'}}, "fp_16 (mmseg has no such key; did you mean 'fp16'?)"),
    ],
)
def test_what_has_no_effect_is_named(change: dict[str, Any], clause: str) -> None:
    found = left_out({**SILENT, **change})
    assert len(found) == 1
    assert clause in found[0]
