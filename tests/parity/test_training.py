"""Training steps, side by side with mmcv's own Runner: the same weights, batches, seeds and settings."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY_SEGMENTOR, random_batch
from mmcv.runner import EpochBasedRunner, Hook, IterBasedRunner, epoch_based_runner
from mmseg.core import build_optimizer
from torch.utils.data import DataLoader

from seglight.batch import Batch
from seglight.models import Segmentor

CLASSES = list('abcde')
EPOCHS, EPOCH_STEPS = 2, 3

CROSS_ENTROPY = {'type': 'CrossEntropyLoss', 'use_sigmoid': False, 'loss_weight': 1.0}
NORM = {'type': 'BN', 'requires_grad': True}


def fcn(channels: int = 64, index: int = 3, **options: Any) -> dict[str, Any]:
    head = {
        'type': 'FCNHead',
        'in_channels': channels,
        'in_index': index,
        'channels': 8,
        'num_convs': 1,
        'concat_input': False,
    }
    return {**head, 'norm_cfg': NORM, 'loss_decode': CROSS_ENTROPY, **options}  # fmt: skip


def with_heads(decode_head: Any, **rest: Any) -> dict[str, Any]:
    """The tiny ResNet with other heads."""
    return {'type': 'EncoderDecoder', 'backbone': TINY_SEGMENTOR['backbone'], 'decode_head': decode_head, 'train_cfg': {}, 'test_cfg': {'mode': 'whole'}, **rest}  # fmt: skip


SEGFORMER = {
    'type': 'EncoderDecoder',
    'backbone': {
        'type': 'MixVisionTransformer', 'embed_dims': 8, 'num_layers': [1, 1, 1, 1], 'num_heads': [1, 1, 2, 2],
        'patch_sizes': [7, 3, 3, 3], 'sr_ratios': [8, 4, 2, 1], 'mlp_ratio': 2, 'drop_rate': 0.1, 'drop_path_rate': 0.1,
    },
    'decode_head': {
        'type': 'SegformerHead', 'in_channels': [8, 8, 16, 16], 'in_index': [0, 1, 2, 3], 'channels': 8,
        'norm_cfg': NORM, 'loss_decode': CROSS_ENTROPY,
    },
    'train_cfg': {},
}  # fmt: skip
OCR = with_heads(
    [
        fcn(),
        {
            'type': 'OCRHead', 'in_channels': 64, 'in_index': 3, 'channels': 16, 'ocr_channels': 8,
            'norm_cfg': NORM, 'loss_decode': CROSS_ENTROPY,
        },
    ],
    type='CascadeEncoderDecoder',
    num_stages=2,
)  # fmt: skip
POINT_REND = with_heads(
    [
        fcn(8, 0),
        {
            'type': 'PointHead', 'in_channels': [8], 'in_index': [0], 'channels': 8, 'num_fcs': 1,
            'coarse_pred_each_layer': True, 'loss_decode': CROSS_ENTROPY,
        },
    ],
    type='CascadeEncoderDecoder',
    num_stages=2,
    train_cfg={'num_points': 16, 'oversample_ratio': 3, 'importance_sample_ratio': 0.75},
)  # fmt: skip
KNET = with_heads(
    {
        'type': 'IterativeDecodeHead',
        'num_stages': 2,
        'kernel_update_head': [
            {
                'type': 'KernelUpdateHead', 'num_ffn_fcs': 2, 'num_heads': 2, 'num_mask_fcs': 1,
                'feedforward_channels': 16, 'in_channels': 8, 'out_channels': 8, 'dropout': 0.1, 'conv_kernel_size': 1,
                'ffn_act_cfg': {'type': 'ReLU', 'inplace': True}, 'with_ffn': True,
                'feat_transform_cfg': {'conv_cfg': {'type': 'Conv2d'}, 'act_cfg': None},
                'kernel_updator_cfg': {
                    'type': 'KernelUpdator', 'in_channels': 8, 'feat_channels': 8, 'out_channels': 8,
                    'act_cfg': {'type': 'ReLU', 'inplace': True}, 'norm_cfg': {'type': 'LN'},
                },
            }
            for _ in range(2)
        ],
        'kernel_generate_head': fcn(),
    },
    auxiliary_head=fcn(32, 2),
)  # fmt: skip
SEVERAL_LOSSES = with_heads(
    fcn(
        loss_decode=[
            {'type': 'FocalLoss', 'loss_name': 'loss_focal', 'loss_weight': 1.0},
            {'type': 'DiceLoss', 'loss_name': 'loss_dice', 'loss_weight': 3.0},
        ]
    )
)
OHEM = with_heads(fcn(sampler={'type': 'OHEMPixelSampler', 'thresh': 0.7, 'min_kept': 100}), auxiliary_head=fcn(32, 2))

SGD = {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9, 'weight_decay': 5e-4}
ADAMW = {
    'type': 'AdamW', 'lr': 6e-5, 'betas': [0.9, 0.999], 'weight_decay': 0.01,
    'paramwise_cfg': {'custom_keys': {'norm': {'decay_mult': 0.0}, 'head': {'lr_mult': 10.0}}},
}  # fmt: skip
POLY = {'policy': 'poly', 'power': 0.9, 'min_lr': 1e-4, 'by_epoch': False}
WARMUP = {'policy': 'poly', 'power': 1.0, 'min_lr': 0.0, 'by_epoch': False, 'warmup': 'linear', 'warmup_iters': 4, 'warmup_ratio': 1e-2}  # fmt: skip
STEP = {'policy': 'step', 'step': [1], 'gamma': 0.5, 'by_epoch': True}

CASES = {
    'a CNN with an auxiliary head': (TINY_SEGMENTOR, SGD, POLY, EpochBasedRunner),
    'a run counted in iterations': (TINY_SEGMENTOR, SGD, POLY, IterBasedRunner),
    'a transformer': (SEGFORMER, ADAMW, WARMUP, IterBasedRunner),
    'OCRNet': (OCR, SGD, STEP, EpochBasedRunner),
    'PointRend': (POINT_REND, SGD, POLY, IterBasedRunner),
    'K-Net': (KNET, ADAMW, WARMUP, EpochBasedRunner),
    'focal and dice loss': (SEVERAL_LOSSES, SGD, POLY, EpochBasedRunner),
    'an OHEM sampler': (OHEM, SGD, POLY, EpochBasedRunner),
}


class Step(dict[str, Any]):
    """What is known of a step: `losses`, `rates`, `gradients`."""


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


class MmcvRecorder(Hook):
    """Seeds every step of a Runner, and notes what it did."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def before_train_iter(self, runner: Any) -> None:
        self.rates = [group['lr'] for group in runner.optimizer.param_groups]
        torch.manual_seed(runner.iter)
        np.random.seed(runner.iter)

    def after_train_iter(self, runner: Any) -> None:
        self.steps.append(Step(losses=runner.outputs['log_vars'], rates=self.rates, gradients=gradients(runner.model)))


class LightningRecorder(pl.Callback):
    """The same for Lightning's Trainer."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        self.rates = [group['lr'] for group in trainer.optimizers[0].param_groups]
        torch.manual_seed(trainer.global_step)
        np.random.seed(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        losses = {
            name.removeprefix('train/'): float(v) for name, v in trainer.logged_metrics.items() if 'train/' in name
        }
        self.steps.append(Step(losses=losses, rates=self.rates, gradients=gradients(module.segmentor)))


def mmseg_batch(batch: Batch, module: Segmentor) -> dict[str, Any]:
    """A batch as mmseg's pipeline makes it; `test_inference` compares the normalisation with mmcv's."""
    metas = [{'filename': m['path'], 'ori_shape': (*m['original_size'], 3), 'img_shape': (*m['size'], 3), 'pad_shape': (*m['size'], 3), 'scale_factor': 1.0, 'flip': False} for m in batch['meta']]  # fmt: skip
    normalised = (batch['image'].float() - module.mean.view(3, 1, 1)) / module.std.view(3, 1, 1)
    image = normalised.contiguous()  # as mmcv collates
    return {'img': image, 'img_metas': metas, 'gt_semantic_seg': batch['mask'].unsqueeze(1).long()}


def loader(batches: Any) -> DataLoader[Any]:
    return DataLoader(batches, collate_fn=lambda items: items[0])


def run_mmcv(
    segmentor: Any, batches: list[Any], optimizer: Any, lr_config: Any, clip: dict[str, Any] | None, cls: Any
) -> list[Step]:
    logger = logging.getLogger('quiet')
    logger.setLevel(logging.ERROR)
    length = {'max_iters': EPOCHS * EPOCH_STEPS} if cls is IterBasedRunner else {'max_epochs': EPOCHS}
    runner = cls(
        segmentor, optimizer=build_optimizer(segmentor, copy.deepcopy(optimizer)), logger=logger, work_dir='.', **length
    )
    recorder = MmcvRecorder()
    runner.register_lr_hook({**lr_config})
    runner.register_optimizer_hook({'grad_clip': clip})
    runner.register_hook(recorder, priority='LOWEST')
    runner.run([loader(batches)], [('train', 1)])
    return recorder.steps


def run_lightning(
    module: Segmentor, batches: list[Any], clip: dict[str, Any] | None, folder: Path, cls: Any
) -> list[Step]:
    recorder = LightningRecorder()
    length: dict[str, Any] = {'max_steps': EPOCHS * EPOCH_STEPS} if cls is IterBasedRunner else {'max_epochs': EPOCHS}
    trainer = pl.Trainer(
        accelerator='cpu', logger=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        enable_checkpointing=False, callbacks=[recorder], log_every_n_steps=1,
        gradient_clip_val=clip['max_norm'] if clip else None, **length,
    )  # fmt: skip
    trainer.fit(module, loader(batches))
    return recorder.steps


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the two seconds that mmcv's Runners sleep for after each epoch."""
    monkeypatch.setattr(epoch_based_runner.time, 'sleep', lambda _: None)


@pytest.mark.parametrize('clip', [None, {'max_norm': 0.01, 'norm_type': 2}], ids=['', 'clipped'])
@pytest.mark.parametrize('case', CASES)
def test_steps_equal_those_of_mmcvs_runner(case: str, clip: Any, tmp_path: Path, no_sleep: Callable[[], None]) -> None:
    model, optimizer, schedule, cls = CASES[case]
    torch.manual_seed(0)
    module = Segmentor(copy.deepcopy(model), CLASSES, optimizer=optimizer, schedule=schedule)
    reference = copy.deepcopy(module.segmentor)
    batches = [random_batch(2, seed=seed) for seed in range(EPOCH_STEPS)]
    theirs = run_mmcv(reference, [mmseg_batch(batch, module) for batch in batches], optimizer, schedule, clip, cls)
    ours = run_lightning(module, batches, clip, tmp_path, cls)
    assert len(ours) == len(theirs) == EPOCHS * EPOCH_STEPS
    for one, other in zip(ours, theirs, strict=True):
        assert sorted(set(one['rates'])) == sorted(set(other['rates']))
        assert one['losses'] == pytest.approx(other['losses'], rel=1e-5)
        assert one['gradients'].keys() == other['gradients'].keys()
        largest = max(float(gradient.abs().max()) for gradient in other['gradients'].values())
        for name, gradient in one['gradients'].items():
            expected = other['gradients'][name]
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * largest, msg=_named(name))
    if clip:
        norm = torch.stack([gradient.norm() for gradient in ours[0]['gradients'].values()]).norm()
        assert float(norm) == pytest.approx(0.01, rel=1e-3)
    before_and_after = zip(module.segmentor.state_dict().items(), reference.state_dict().items(), strict=True)
    for (name, value), (other_name, other) in before_and_after:
        assert name == other_name
        torch.testing.assert_close(value, other, rtol=1e-5, atol=1e-6, msg=_named(name))


def _named(name: str) -> Callable[[str], str]:
    return lambda text: f'{name}: {text}'
