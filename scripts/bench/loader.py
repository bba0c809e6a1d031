"""Measure images per second of the loader and of mmseg's own pipelines, on one core, alternating in one run.

    python scripts/bench/loader.py [--images 48] [--rounds 5] [--root FOLDER]

Without a folder with `img_dir/train` and `ann_dir/train`, 512x512 JPEG and PNG files are generated. Each round loads
every image once in each way, one way after the other, and counts the time of the processor, which hardly depends on
what else the machine does; shown is the median over the rounds, and the ratios to mmseg's within a round.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)

# isort: split
import cv2
import torch
from mmseg.datasets.pipelines import Compose
from pairs import ratios

from seglight.data.cache import SampleCache
from seglight.data.dataset import SegmentationDataset
from seglight.data.demo import generate
from seglight.data.images import read_image
from seglight.data.sources import Context, FolderSource, Sample
from seglight.data.transforms import build_pipeline

Steps = list[dict[str, Any]]
CLASSES = [str(index) for index in range(11)]
NORM = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'to_rgb': True}
FLIP: Steps = [
    {'type': 'KeepRatioResize', 'img_scale': [512, 512]},
    {'type': 'HorizontalFlip', 'p': 0.5},
]
STANDARD: Steps = [
    {'type': 'KeepRatioResize', 'img_scale': [512, 512], 'ratio_range': [0.5, 2.0]},
    {'type': 'CatMaxRatioCrop', 'height': 512, 'width': 512, 'cat_max_ratio': 0.75},
    {'type': 'HorizontalFlip', 'p': 0.5},
    {'type': 'PhotoMetricDistortion'},
    {'type': 'PadTo', 'height': 512, 'width': 512},
]
#: The standard pipeline without what can run on the device, and that.
KEPT: Steps = [step for step in STANDARD if step['type'] not in ('HorizontalFlip', 'PhotoMetricDistortion')]
MOVED: Steps = [step for step in STANDARD if step not in KEPT]
MMSEG_END: Steps = [
    {'type': 'Normalize', **NORM},
    {'type': 'Pad', 'size': (512, 512), 'pad_val': 0, 'seg_pad_val': 255},
    {'type': 'DefaultFormatBundle'},
    {'type': 'Collect', 'keys': ['img', 'gt_semantic_seg']},
]
MMSEG_FLIP: Steps = [
    {'type': 'Resize', 'img_scale': (512, 512)},
    {'type': 'RandomFlip', 'prob': 0.5},
    *MMSEG_END,
]
MMSEG_STANDARD: Steps = [
    {'type': 'Resize', 'img_scale': (512, 512), 'ratio_range': (0.5, 2.0)},
    {'type': 'RandomCrop', 'crop_size': (512, 512), 'cat_max_ratio': 0.75},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'PhotoMetricDistortion'},
    *MMSEG_END,
]


def mmseg_loader(samples: list[Sample], steps: Steps) -> Callable[[int], object]:
    """Return a function that loads a sample with an mmseg pipeline."""
    pipeline = Compose([{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}, *steps])

    def load(index: int) -> object:
        sample = samples[index]
        return pipeline(
            {
                'img_info': {'filename': str(sample.image)},
                'ann_info': {'seg_map': str(sample.mask)},
                'seg_fields': [],
                'img_prefix': None,
                'seg_prefix': None,
            }
        )

    return load


def ways(samples: list[Sample], cache: Path) -> dict[str, Callable[[int], object]]:
    """Return the functions to compare, by name."""

    def ours(transforms: Steps, cached: bool = False, moved: Steps | None = None) -> Callable[[int], object]:
        pipeline = build_pipeline(transforms, 'transforms', classes=CLASSES)
        sample_cache = SampleCache(cache, 4) if cached else None
        on_device = None if moved is None else build_pipeline(moved, 'transforms')
        return SegmentationDataset(
            samples, pipeline, CLASSES, training=True, cache=sample_cache, device_transforms=on_device
        ).__getitem__

    def decoding(index: int) -> object:
        mask = samples[index].mask
        return read_image(samples[index].image), mask and mask.read()

    return {
        'decoding, mmseg': mmseg_loader(samples, []),
        'decoding': decoding,
        'flip, mmseg': mmseg_loader(samples, MMSEG_FLIP),
        'flip': ours(FLIP),
        'flip, cached': ours(FLIP, cached=True),
        'standard, mmseg': mmseg_loader(samples, MMSEG_STANDARD),
        'standard': ours(STANDARD),
        'standard, cached': ours(STANDARD, cached=True),
        'moved': ours(KEPT, moved=MOVED),
        'moved, cached': ours(KEPT, cached=True, moved=MOVED),
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=48)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--root', type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.root or Path(folder)
        if arguments.root is None:
            generate(root, counts={'train': arguments.images, 'val': 1, 'test': 1}, size=512)
        found = FolderSource('img_dir/train', 'ann_dir/train').samples(Context(CLASSES, root=root))
        samples = list(found[: arguments.images])
        loaders = ways(samples, Path(folder) / 'cache')
        rates: dict[str, list[float]] = {name: [] for name in loaders}
        for turn in range(arguments.rounds + 1):  # the first one warms up
            for name, load in loaders.items():
                start = time.process_time()
                for index in range(len(samples)):
                    load(index + turn * len(samples) if 'mmseg' not in name and 'decoding' not in name else index)
                if turn:
                    rates[name].append(len(samples) / (time.process_time() - start))
    print('| | mmseg 0.30, images/s | here, images/s | times | here, cached | times |\n|---|---:|---:|---:|---:|---:|')
    for name in ('decoding', 'flip', 'standard'):
        base = rates[f'{name}, mmseg']
        columns = [f'{statistics.median(base):.0f}']
        for own in (rates[name], rates.get(f'{name}, cached')):
            columns += [f'{statistics.median(own):.0f}', ratios(own, base)] if own else ['', '']
        print(f'| {name} | {" | ".join(columns)} |')
    for end in ('', ', cached'):
        times = ratios(rates[f'moved{end}'], rates[f'standard{end}'])
        print(f'flip and colours on the device{end}: {times} times as many')


if __name__ == '__main__':
    main()
