"""The same training with mmcv's Runner, with seglight, and as a bare loop, for the other benchmarks in this folder.

All read the same files, scale, crop and flip them in the same way, and use the same model from mmseg's
configs, with random weights and the same optimizer and schedule.
"""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import mmseg
import pytorch_lightning as pl
import torch
from mmcv import Config
from mmcv.parallel import _functions as mmcv_scattering
from mmcv.runner import EpochBasedRunner, Fp16OptimizerHook, Hook, IterBasedRunner, wrap_fp16_model
from mmcv.utils import get_logger
from mmseg.core import build_optimizer
from mmseg.datasets import build_dataloader, build_dataset
from mmseg.models import LOSSES, losses
from mmseg.models.decode_heads import decode_head, point_head
from mmseg.utils import build_dp

from seglight.config.files import SHIPPED, load_config
from seglight.data import SegmentationDataModule
from seglight.models import Segmentor
from seglight.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from seglight.models.pretrained import without_pretrained
from seglight.models.recipe import Recipe

MMSEG_CONFIGS = Path(mmseg.__file__).parent / '.mim' / 'configs'
DATA = load_config(SHIPPED / 'datasets' / 'camvid.yaml').values['data']


@dataclass
class Task:
    """The model, the data and the settings of a training."""

    model: str  #: an mmseg config, relative to its folder
    root: str
    crop: int = 512
    batch_size: int = 8
    workers: int = 2
    optimizer: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    mixed: bool = False  #: float16 mixed precision, on a GPU
    bfloat16: bool = False  #: with `mixed`: bfloat16 instead; mmcv's Runner has only float16
    channels_last: bool | None = None  #: applies only to seglight, whose default it is
    compile: bool = False  #: applies only to seglight
    image: tuple[int, int] = (480, 360)  #: width and height of the files
    transforms: list[dict[str, Any]] | None = None  #: seglight's; by default those of mmseg's side
    device: str = field(default_factory=lambda: 'cuda' if torch.cuda.is_available() else 'cpu')

    def __post_init__(self) -> None:
        """Fill in mmseg's usual optimizer and schedule."""
        self.optimizer = self.optimizer or {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9, 'weight_decay': 5e-4}
        self.schedule = self.schedule or {'policy': 'poly', 'power': 0.9, 'min_lr': 1e-4, 'by_epoch': False}

    @property
    def precision(self) -> Any:
        """Lightning's name of the precision."""
        return '32-true' if not self.mixed else 'bf16-mixed' if self.bfloat16 else '16-mixed'

    def model_dict(self) -> dict[str, Any]:
        """Return the model dict, without pretrained weights and without weights of the original classes."""
        model: dict[str, Any] = _without_class_weights(Config.fromfile(str(MMSEG_CONFIGS / self.model)).model.to_dict())
        return without_pretrained(model)

    def build(self) -> Any:
        """Build the segmentor for both sides."""
        torch.manual_seed(0)
        return Recipe(self.model_dict()).for_data(len(DATA['classes'])).build()

    def scales(self) -> tuple[float, float]:
        """Return the minimum and maximum scale factor for the images, so that a crop fits."""
        smallest = max(0.5, self.crop / min(self.image))
        return smallest, max(1.0, 1.35 * smallest)


def _without_class_weights(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_class_weights(inner) for name, inner in value.items() if name != 'class_weight'}
    return [_without_class_weights(inner) for inner in value] if isinstance(value, list) else value


@dataclass
class Clock:
    """The end of each training step, on a GPU in the order of its work, so that no step waits for the measurement."""

    times: list[float]
    device: str = 'cpu'
    events: list[torch.cuda.Event] = field(default_factory=list)

    def tick(self) -> None:
        """Record the end of a step."""
        self.times.append(time.perf_counter())
        if self.device == 'cuda':
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.events.append(event)

    def rate(self, batch_size: int, warmup: int) -> float:
        """Return images per second after the first steps."""
        return batch_size * (len(self.times) - 1 - warmup) / self._seconds(warmup)

    def _seconds(self, first: int) -> float:
        """Return the time from the end of a step to the end of the last one."""
        if not self.events:
            return self.times[-1] - self.times[first]
        self.events[-1].synchronize()
        milliseconds: float = self.events[first].elapsed_time(self.events[-1])
        return milliseconds / 1000


class _ClockHook(Hook):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def after_train_iter(self, runner: Any) -> None:  # noqa: ARG002
        self.clock.tick()


class _ClockCallback(pl.Callback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, *_: Any) -> None:
        self.clock.tick()


def quieten() -> None:
    """Silence the libraries' messages about every training."""
    warnings.simplefilter('ignore')
    logging.getLogger('pytorch_lightning.utilities.rank_zero').setLevel(logging.ERROR)
    get_logger('mmseg', log_level=logging.ERROR)  # otherwise mmseg creates it with INFO


def bare_loop(task: Task, steps: int) -> Clock:
    """Train on one batch in memory, as an upper limit of the speed."""
    segmentor = task.build().to(task.device).train()
    optimizer = build_optimizer(segmentor, copy.deepcopy(task.optimizer))
    scaler = torch.amp.GradScaler(task.device, enabled=task.mixed and not task.bfloat16)
    dtype = torch.bfloat16 if task.bfloat16 else torch.float16
    image = torch.randn(task.batch_size, 3, task.crop, task.crop, device=task.device)
    mask = torch.randint(0, len(DATA['classes']), (task.batch_size, 1, task.crop, task.crop), device=task.device)
    clock = Clock([], task.device)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(task.device, dtype, enabled=task.mixed):
            losses = segmentor.forward_train(image, [{}] * task.batch_size, mask)
            loss = sum(value.mean() for name, value in losses.items() if 'loss' in name)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        clock.tick()
    return clock


def mmseg_dataset(task: Task, split: str) -> Any:
    """Return mmseg's data set with its own pipeline."""
    min_scale, max_scale = task.scales()
    normalize = {'type': 'Normalize', 'mean': IMAGENET_MEAN, 'std': IMAGENET_STD, 'to_rgb': True}
    training = [
        {'type': 'LoadAnnotations'},
        {'type': 'Resize', 'img_scale': task.image, 'ratio_range': (min_scale, max_scale)},
        {'type': 'RandomCrop', 'crop_size': (task.crop, task.crop), 'cat_max_ratio': 1.0},
        {'type': 'RandomFlip', 'prob': 0.5},
        normalize,
        {'type': 'Pad', 'size': (task.crop, task.crop), 'pad_val': 0, 'seg_pad_val': 255},
        {'type': 'DefaultFormatBundle'},
        {'type': 'Collect', 'keys': ['img', 'gt_semantic_seg']},
    ]
    inner = [{'type': 'Resize', 'keep_ratio': True}, {'type': 'RandomFlip'}, normalize]
    inner += [{'type': 'ImageToTensor', 'keys': ['img']}, {'type': 'Collect', 'keys': ['img']}]
    testing = [{'type': 'MultiScaleFlipAug', 'img_scale': task.image, 'flip': False, 'transforms': inner}]
    config = {
        'type': 'CustomDataset',
        'img_dir': f'{task.root}/img_dir/{split}',
        'ann_dir': f'{task.root}/ann_dir/{split}',
        'classes': DATA['classes'],
        'palette': DATA['palette'],
        'pipeline': [{'type': 'LoadImageFromFile'}, *(training if split == 'train' else testing)],
        'test_mode': split != 'train',
    }
    return build_dataset(config)


def gradients(segmentor: Any, image: torch.Tensor) -> Callable[[], None]:
    """Return a function that computes the gradients of a segmentor's losses on images with random labels."""
    size = len(image), 1, *image.shape[2:]
    mask = torch.randint(0, len(DATA['classes']), size, device=image.device)

    def run() -> None:
        segmentor.zero_grad(set_to_none=True)
        losses = segmentor.forward_train(image, [{}] * len(image), mask)
        sum(value.mean() for name, value in losses.items() if 'loss' in name).backward()

    return run


@contextmanager
def mmsegs_own() -> Iterator[None]:
    """Let models have mmseg's own losses, and its heads mmseg's accuracy, instead of seglight's."""
    registered, accuracy = dict(LOSSES.module_dict), decode_head.accuracy
    originals = {name: getattr(losses, name) for name in registered if hasattr(losses, name)}
    try:
        LOSSES.module_dict.update(originals)
        decode_head.accuracy = point_head.accuracy = losses.accuracy
        yield
    finally:
        LOSSES.module_dict.update(registered)
        decode_head.accuracy = point_head.accuracy = accuracy


def mmcv_runner(task: Task, clock: Clock, work_dir: str, hooks: list[Hook], **length: int) -> Callable[[], None]:
    """Return a function that trains with mmcv's Runner, set up like mmseg's `train_segmentor`.

    Args:
        task: what to train.
        clock: records the time of each step.
        work_dir: for the Runner's logs.
        hooks: additional hooks, for example for evaluation.
        length: `max_iters` or `max_epochs`.
    """
    options = {'samples_per_gpu': task.batch_size, 'workers_per_gpu': task.workers, 'drop_last': True}
    options['persistent_workers'] = task.workers > 0
    loader = build_dataloader(mmseg_dataset(task, 'train'), num_gpus=1, dist=False, seed=0, shuffle=True, **options)
    segmentor = task.build()
    mmcv_scattering._get_stream = _copying_stream  # torch's takes a device since 2.1, mmcv 1.7.2 passes its number
    if task.mixed:
        wrap_fp16_model(segmentor)
    model = build_dp(segmentor, task.device, device_ids=[0])
    optimizer = build_optimizer(model, copy.deepcopy(task.optimizer))
    logger = logging.getLogger('mmcv-runner')
    logger.setLevel(logging.ERROR)
    cls = IterBasedRunner if 'max_iters' in length else EpochBasedRunner
    # The hook for float16 writes to `meta`.
    runner = cls(model, optimizer=optimizer, work_dir=work_dir, logger=logger, meta={}, **length)
    assert task.schedule
    runner.register_lr_hook({**task.schedule})
    runner.register_optimizer_hook(Fp16OptimizerHook(loss_scale='dynamic') if task.mixed else {'grad_clip': None})
    runner.register_hook(_ClockHook(clock))
    for hook in hooks:
        runner.register_hook(hook, priority='LOW')
    return lambda: runner.run([loader], [('train', 1)])


@cache
def _copying_stream(number: int) -> Any:
    """Return the stream for copies to a GPU."""
    return torch.cuda.Stream(number)


def seglight_data(task: Task) -> SegmentationDataModule:
    """Return seglight's data, with the transforms of mmseg's side unless the task has others."""
    min_scale, max_scale = task.scales()
    same_as_mmseg: list[dict[str, Any]] = [
        {'type': 'RandomScale', 'scale_limit': [min_scale - 1, max_scale - 1], 'p': 1.0},
        {'type': 'PadIfNeeded', 'min_height': task.crop, 'min_width': task.crop},
        {'type': 'RandomCrop', 'height': task.crop, 'width': task.crop},
        {'type': 'HorizontalFlip', 'p': 0.5},
    ]
    return SegmentationDataModule(
        DATA['classes'],
        root=task.root,
        train_transforms=task.transforms or same_as_mmseg,
        batch_size=task.batch_size,
        num_workers=task.workers,
    )


def seglight_trainer(
    task: Task, clock: Clock, work_dir: str, callbacks: list[pl.Callback], **length: Any
) -> Callable[[], None]:
    """Return a function that trains with seglight; `length`: `max_steps` or `max_epochs`, and more Trainer options."""
    data = seglight_data(task)
    torch.manual_seed(0)
    module = Segmentor(
        task.model_dict(),
        DATA['classes'],
        optimizer=task.optimizer,
        schedule=task.schedule,
        channels_last=task.channels_last,
        compile=task.compile,
    )
    trainer = pl.Trainer(
        accelerator=task.device, devices=1, precision=task.precision, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, default_root_dir=work_dir,
        callbacks=[_ClockCallback(clock), *callbacks], num_sanity_val_steps=0, **length,
    )  # fmt: skip
    return lambda: trainer.fit(module, data)
