"""Speed of test-time augmentation, of sliding windows, and of the command `predict`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gpu.lab import CLASSES, Lab
from gpu.results import Row
from gpu.sections.resume import seglight, write_config
from seglight.batch import Batch
from seglight.models import Segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views, resized, view_size

SCALES = [0.5, 1.0, 1.5, 2.0]


def tta(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each way: eight views of an image, bare forward passes of the same views, mmseg's `aug_test`."""
    del argument
    module = _module(lab, lab.model('segformer_b0' if lab.tiny else 'segformer_b2'))
    batch = _image(lab, lab.side)
    options = Options(Views(make_views(SCALES, ['horizontal'], [0])))
    views = []
    for scale in SCALES:
        normal = module._normalize(resized(batch['image'], view_size((lab.side, lab.side), scale)))
        views += [normal, normal.flip(3)]
    size = (lab.side, lab.side, 3)
    metas = [
        [{'ori_shape': size, 'img_shape': (*view.shape[2:], 3), 'flip': odd, 'flip_direction': 'horizontal'}]
        for view, odd in zip(views, [False, True] * len(SCALES), strict=True)
    ]
    segmentor = module.segmentor
    ways: dict[str, Callable[[], Any]] = {
        'bare forward passes': lambda: [segmentor.encode_decode(view, None).argmax(1) for view in views],
        'seglight': lambda: module.predict(batch, options)[0].mask.cpu(),
        "mmseg's aug_test": lambda: segmentor.aug_test(views, metas)[0],
    }
    yield from _rates(lab, ways, 'images/s')


def sliding(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each way: windows over a large image, and mmseg's `slide_inference`."""
    del argument
    side, crop = (96, 64) if lab.tiny else (4096, 512)
    windows = {'mode': 'slide', 'crop_size': (crop, crop), 'stride': (crop * 2 // 3, crop * 2 // 3)}
    module = _module(lab, {**lab.model('segformer_b0'), 'test_cfg': windows})
    batch = _image(lab, side)
    image = module._normalize(batch['image'])
    meta = [{'ori_shape': (side, side, 3), 'img_shape': (side, side, 3), 'flip': False}]
    ways: dict[str, Callable[[], Any]] = {
        'seglight': lambda: module.predict(batch)[0].mask.cpu(),
        "mmseg's slide_inference": lambda: module.segmentor.simple_test(image, meta)[0],
    }
    for row in _rates(lab, ways, 'images/s'):
        yield {'side': side, **row}


def writing(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each precision of `predict`, which writes PNG masks."""
    del argument
    folder = Path(lab.folder, 'writing')
    folder.mkdir()
    config = write_config(lab, 'segformer_b0', folder, max_steps=1, limit_val_batches=0)
    seglight(['fit', '--config', str(config), '--work-dir', str(folder / 'run')])
    images = str(Path(lab.root, 'img_dir', 'val'))
    command = ['predict', '--ckpt', str(folder / 'run'), '--input', images, '--data.batch_size', str(lab.batch_size)]
    command += ['--data.num_workers', str(lab.workers), f'--trainer.accelerator={lab.device}']
    for precision in ('32-true',) if lab.tiny else ('32-true', 'bf16-mixed'):
        start = time.perf_counter()
        output = folder / precision
        seglight([*command, '--output', str(output), f'--trainer.precision={precision}'])
        seconds = time.perf_counter() - start
        written = sorted(path.stat().st_mtime for path in (output / 'masks').rglob('*.png'))
        row: Row = {'precision': precision, 'images': len(written), 'seconds of the command': seconds}
        yield {**row, 'images/s after the first': (len(written) - 1) / (written[-1] - written[0])}
        lab.tidy()


def _module(lab: Lab, model: dict[str, Any]) -> Segmentor:
    torch.manual_seed(0)
    return Segmentor(model, CLASSES).eval().to(lab.device)


def _image(lab: Lab, side: int) -> Batch:
    batch = lab.batch(1, side)
    return {**batch, 'image': batch['image'].to(lab.device)}


def _rates(lab: Lab, ways: dict[str, Callable[[], Any]], unit: str) -> Iterator[Row]:
    """Call all ways in turn, in float32 and bfloat16, and yield the rate of each."""
    for precision in ('float32',) if lab.tiny else ('float32', 'bfloat16'):
        lab.tidy()
        times: dict[str, list[float]] = {name: [] for name in ways}
        peaks: dict[str, float | None] = {}
        autocast = torch.autocast(lab.device, torch.bfloat16, enabled=precision == 'bfloat16')
        with torch.inference_mode(), autocast:
            for turn in range(2 if lab.tiny else 4):  # the first one warms up
                for name, way in ways.items():
                    lab.reset_peak()
                    start = lab.now()
                    way()
                    times[name] += [lab.now() - start] * (turn > 0)
                    peaks[name] = lab.peak()
        first = statistics.median(times[next(iter(ways))])
        for name in ways:
            median = statistics.median(times[name])
            row: Row = {
                'way': name,
                'precision': precision,
                unit: 1 / median,
                f'times {next(iter(ways))}': first / median,
            }
            yield {**row, 'GiB': peaks[name]}
