"""Compare the time of predicting with and without files with that of the bare forward passes.

    python scripts/bench/predict.py CHECKPOINT IMAGES [ROUNDS]

IMAGES is a folder. The ways take turns, so that what else the machine does meets all of them; a line for each gives
the median of images per second, and the median and the range of the ratios to the bare passes of the same round.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import pytorch_lightning as pl
import torch

from seglight.callbacks import MaskWriter, OverlayWriter, ProbabilityWriter
from seglight.data import SegmentationDataModule
from seglight.models import Segmentor

BATCH = 4


def main(checkpoint: str, images: str, rounds: int) -> None:
    """Print the speeds and their ratios."""
    warnings.simplefilter('ignore')
    logging.getLogger('pytorch_lightning').setLevel(logging.ERROR)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    module = Segmentor.load_from_checkpoint(checkpoint).to(device).eval()
    count = len(list(Path(images).iterdir()))
    data = _data(module, images)
    data.setup('predict')
    batches: list[Any] = [module.transfer_batch_to_device(each, module.device, 0) for each in data.predict_dataloader()]
    ways: dict[str, Callable[[str], Any]] = {
        'bare forward': lambda _: _bare(module, batches),
        'no files': lambda _: _predict(module, images, []),
        'masks': lambda folder: _predict(module, images, [MaskWriter(f'{folder}/a')]),
        'masks and overlays': lambda folder: _predict(
            module, images, [MaskWriter(f'{folder}/a'), OverlayWriter(f'{folder}/b')]
        ),
        'masks and probabilities': lambda folder: _predict(
            module, images, [MaskWriter(f'{folder}/a'), ProbabilityWriter(f'{folder}/c')]
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                way(folder)
                if number:  # the first round warms up
                    seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        ratios = [bare / own for bare, own in zip(seconds['bare forward'], times, strict=True)]
        speed = count / statistics.median(times)
        print(
            f'{name:<24} {speed:7.1f} images/s   {statistics.median(ratios):5.2f} of the bare passes '
            f'({min(ratios):.2f} to {max(ratios):.2f})'
        )


def _data(module: Segmentor, images: str) -> SegmentationDataModule:
    return SegmentationDataModule(module.classes, test={'type': 'ImageSource', 'path': images}, batch_size=BATCH)


@torch.inference_mode()
def _bare(module: Segmentor, batches: list[Any]) -> None:
    """Predict batches that are in the memory of the device, and wait for the last one."""
    for batch in batches:
        masks = [each.mask for each in module.predict(batch)]
    masks[-1].cpu()


def _predict(module: Segmentor, images: str, writers: list[pl.Callback]) -> None:
    """Read, predict and write all images."""
    trainer = pl.Trainer(
        accelerator='auto', devices=1, logger=False, callbacks=writers, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.predict(module, _data(module, images), return_predictions=False)


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 3)
