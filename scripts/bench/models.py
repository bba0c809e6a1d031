"""Compare val mIoU of models of several libraries that train for the same processor time from random weights.

python scripts/bench/models.py --root DATA [--seconds 180] [--models 'smp Unet'] [--seeds 2]

DATA holds img_dir/train, img_dir/val, ann_dir/train and ann_dir/val of CamVid. All have the same crops, augmentations,
batches, loader, optimizer and poly schedule, but each a learning rate of its own; those with `seeds` in the table below
train once for each seed. A trial of some steps shows how many fit into the time, so that the schedule ends on time. The
time is that of the processor, over all threads, which other programs change little; it includes reading the images, but
not building the model. Prints a line of a Markdown table when a model is trained and validated at full size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
import pytorch_lightning as pl
import torch
from sides import DATA, quieten

from seglight.config.files import SHIPPED, load_config
from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.zoo import find_zoo
from seglight.data import SegmentationDataModule
from seglight.memory import keep_freed_memory
from seglight.models import Segmentor
from seglight.models.pretrained import without_pretrained

CROP, BATCH = 256, 4
TRANSFORMS = [
    {'type': 'RandomScale', 'scale_limit': [-0.5, 0.0], 'p': 1.0},
    {'type': 'PadIfNeeded', 'min_height': CROP, 'min_width': CROP},
    {'type': 'RandomCrop', 'height': CROP, 'width': CROP},
    {'type': 'HorizontalFlip', 'p': 0.5},
    {'type': 'RandomBrightnessContrast', 'brightness_limit': 0.2, 'contrast_limit': 0.3, 'p': 1.0},
]
POLY = {'policy': 'poly', 'power': 0.9, 'min_lr': 1e-6, 'by_epoch': False}
WARMUP = {'warmup': 'linear', 'warmup_iters': 20, 'warmup_ratio': 0.02}

#: Steps of a trial, and the first ones of them that do not count.
TRIAL, SETTLING = 9, 4


@dataclass
class Candidate:
    """A model and how it trains."""

    model: dict[str, Any]
    lr: float
    more_seeds: bool = False  #: whether it trains once for each seed
    options: dict[str, Any] = field(default_factory=dict)  #: further arguments of `Segmentor`


def demo() -> dict[str, Any]:
    """Return the model dict of the demo."""
    model: dict[str, Any] = load_config(SHIPPED / 'models' / 'fpn_r18.yaml').values['model']['segmentor']
    return model


def mmsegs(name: str) -> dict[str, Any]:
    """Return the model dict of a config of mmseg."""
    return without_pretrained(read_mmseg_config(find_zoo(name))['model'])


EOMT = {
    'model_type': 'eomt', 'hidden_size': 192, 'num_hidden_layers': 8, 'num_attention_heads': 3, 'num_queries': 50,
    'num_blocks': 3, 'image_size': CROP, 'patch_size': 16, 'train_num_points': 4096,
}  # fmt: skip
CANDIDATES = {
    'mmseg SegFormer-B0': Candidate(mmsegs('segformer/segformer_mit-b0_512x512_160k_ade20k'), 1e-3, more_seeds=True),
    'transformers SegFormer-B0': Candidate(
        {'type': 'HFSegmentor', 'config': {'model_type': 'segformer'}}, 1e-3, more_seeds=True
    ),
    'mmseg FPN, ResNet-18': Candidate(demo(), 1e-3, options={'channels_last': True}),
    'smp Unet, MobileNetV2': Candidate(
        {'type': 'SMPSegmentor', 'arch': 'Unet', 'encoder_name': 'mobilenet_v2'}, 1e-3, options={'channels_last': True}
    ),
    'transformers EoMT, 8 layers of 192': Candidate({'type': 'HFSegmentor', 'config': EOMT}, 3e-4),
}


class _Clock(pl.Callback):
    """The processor time at the end of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_start(self, *_: Any) -> None:
        self.times.append(time.process_time())

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.process_time())


def train(candidate: Candidate, root: str, seed: int, steps: int) -> tuple[list[float], float, int]:
    """Train, and validate unless it is a trial.

    Returns:
        The processor time at the start and at the end of each step, the mIoU in percent, the number of parameters.
    """
    pl.seed_everything(seed, verbose=False)
    data = SegmentationDataModule(
        DATA['classes'], root=root, train_transforms=TRANSFORMS, batch_size=BATCH, num_workers=0, seed=seed
    )
    optimizer = {'type': 'AdamW', 'lr': candidate.lr, 'weight_decay': 0.01}
    module = Segmentor(
        candidate.model, DATA['classes'], optimizer=optimizer, schedule={**POLY, **WARMUP}, **candidate.options
    )
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            accelerator='cpu', max_steps=steps, limit_val_batches=0, callbacks=[clock], default_root_dir=folder,
            logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        )  # fmt: skip
        trainer.fit(module, data)
        miou = 0.0
        if steps > TRIAL:
            trainer = pl.Trainer(accelerator='cpu', logger=False, enable_progress_bar=False, default_root_dir=folder)
            miou = 100 * trainer.validate(module, data, verbose=False)[0]['val/mIoU']
    return clock.times, miou, sum(parameter.numel() for parameter in module.parameters())


def main() -> None:
    """Train the models, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--root', required=True)
    parser.add_argument('--models', choices=CANDIDATES, nargs='+', default=list(CANDIDATES))
    parser.add_argument('--seconds', type=float, default=180.0, help='processor time of each training')
    parser.add_argument('--seeds', type=int, default=2)
    options = parser.parse_args()
    quieten()
    keep_freed_memory()
    root = str(Path(options.root).resolve())
    print(f'torch {torch.__version__}, {torch.get_num_threads()} threads, {BATCH} crops of {CROP}x{CROP}')
    print('| model | parameters | learning rate | seed | s per step | steps | processor s | val mIoU |')
    print('|---|---:|---:|---:|---:|---:|---:|---:|', flush=True)
    for seed in range(options.seeds):
        for name in options.models:
            candidate = CANDIDATES[name]
            if seed and not candidate.more_seeds:
                continue
            trial, *_ = train(candidate, root, seed, TRIAL)
            second = statistics.median(end - start for start, end in pairwise(trial[SETTLING:]))
            steps = max(TRIAL + 1, round(options.seconds / second))
            times, miou, parameters = train(candidate, root, seed, steps)
            figures = f'{second:.2f} | {steps} | {times[-1] - times[0]:.0f} | {miou:.1f} %'
            print(f'| {name} | {parameters / 1e6:.1f} M | {candidate.lr:g} | {seed} | {figures} |', flush=True)


if __name__ == '__main__':
    main()
