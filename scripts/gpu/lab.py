"""What sections share: the device, sizes, models, and generated files."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import torch
from sides import DATA, Task

from gpu.images import write_data
from seglight.batch import Batch, ImageMeta
from seglight.cores import cores

#: mmseg's configs of the models.
CONFIGS = {
    'deeplabv3plus_r50': 'deeplabv3plus/deeplabv3plus_r50-d8_512x512_160k_ade20k.py',
    'fast_scnn': 'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes.py',
    'knet_fcn_r50': 'knet/knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k.py',
    'ocrnet_hr18': 'ocrnet/ocrnet_hr18_512x512_160k_ade20k.py',
    'psanet_r50': 'psanet/psanet_r50-d8_512x512_160k_ade20k.py',
    'pspnet_r50': 'pspnet/pspnet_r50-d8_512x512_160k_ade20k.py',
    'segformer_b0': 'segformer/segformer_mit-b0_512x512_160k_ade20k.py',
    'segformer_b2': 'segformer/segformer_mit-b2_512x512_160k_ade20k.py',
    'segmenter_vit_b': 'segmenter/segmenter_vit-b_mask_8x1_512x512_160k_ade20k.py',
    'upernet_swin': 'swin/upernet_swin_tiny_patch4_window7_512x512_160k_ade20k_pretrain_224x224_1K.py',
}

CLASSES: list[str] = DATA['classes']


@dataclass
class Lab:
    """The settings of the check.

    Args:
        device: `cuda` or `cpu`.
        tiny: whether to use tiny images and few steps, which shows only that the check works.
        folder: for temporary files.
    """

    device: str
    tiny: bool
    folder: str

    @property
    def side(self) -> int:
        """Height and width of images and crops."""
        return 64 if self.tiny else 512

    @property
    def batch_size(self) -> int:
        """Images in a batch when speed is measured."""
        return 2 if self.tiny else 16

    @property
    def workers(self) -> int:
        """Loader processes, where their number does not matter."""
        return 0 if self.tiny else min(8, cores())

    @cached_property
    def root(self) -> str:
        """The folder of generated images: `img_dir/{train,val}` and `ann_dir/{train,val}`."""
        root = Path(self.folder, 'data')
        if not root.is_dir():  # another process of the check may have written it
            counts = {'train': 16, 'val': 6} if self.tiny else {'train': 1024, 'val': 256}
            write_data(root, self.side, counts, len(CLASSES))
        return str(root)

    def task(self, model: str, **changes: Any) -> Task:
        """Return a training for `sides`."""
        task = Task(CONFIGS[model], self.root, self.side, self.batch_size, self.workers)
        return replace(task, device=self.device, image=(self.side, self.side), **changes)

    def model(self, name: str) -> dict[str, Any]:
        """Return a model dict, without pretrained weights."""
        return Task(CONFIGS[name], '').model_dict()

    def batch(self, count: int, side: int) -> Batch:
        """Return a batch of noise on the CPU, the same in every call."""
        generator = torch.Generator().manual_seed(1)
        size = (side, side)
        meta: list[ImageMeta] = [
            {'path': f'{index}.jpg', 'name': str(index), 'original_size': size, 'size': size} for index in range(count)
        ]
        image = torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)
        mask = torch.randint(0, len(CLASSES), (count, side, side), dtype=torch.uint8, generator=generator)
        return {'image': image, 'mask': mask, 'meta': meta}

    def tidy(self) -> None:
        """Free the memory of the device that nothing uses, and forget its peak."""
        gc.collect()
        if self.device == 'cuda':
            torch.cuda.empty_cache()
        self.reset_peak()

    def reset_peak(self) -> None:
        """Forget the peak memory of the device."""
        if self.device == 'cuda':
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> float | None:
        """Return the peak memory of the device since it was forgotten, in GiB; None on a CPU."""
        return torch.cuda.max_memory_allocated() / 2**30 if self.device == 'cuda' else None

    def now(self) -> float:
        """Return the time in seconds when the device has finished."""
        if self.device == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter()


def moved(batch: Batch, device: str) -> Batch:
    """Return a batch on a device."""
    return {**batch, 'image': batch['image'].to(device), 'mask': batch['mask'].to(device)}


@contextmanager
def float32(precise: bool) -> Iterator[None]:
    """Compute float32 exactly, or with TF32 where the device has it, while this is a context."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not precise
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
