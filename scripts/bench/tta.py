"""Compare the time of test-time augmentation with mmseg's `aug_test` and with bare forward passes of the same views.

    python scripts/bench/tta.py [CLASSES]

SegFormer-B0, one image of 512x512, four scales with horizontal flips. The three take turns, so that what
else the machine does meets all of them; the medians are printed, and whether the masks are equal.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import mmseg
import torch
from mmcv import Config

from seglight.batch import Batch
from seglight.models import Segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views, resized, view_size

SCALES = [0.5, 1.0, 1.5, 2.0]
ROUNDS = 3


def main(classes: int) -> None:
    """Print the times and their ratios."""
    torch.manual_seed(0)
    config = Path(mmseg.__path__[0], '.mim', 'configs', '_base_', 'models', 'segformer_mit-b0.py')
    model = Config.fromfile(config).model.to_dict()
    module = Segmentor({**model, 'pretrained': None}, [str(label) for label in range(classes)]).eval()
    options = Options(Views(make_views(SCALES, ['horizontal'], [0])))
    image = torch.randint(0, 256, (1, 3, 512, 512), dtype=torch.uint8)
    views = []
    for scale in SCALES:
        normal = module._normalize(resized(image, view_size((512, 512), scale)))
        views += [normal, normal.flip(3)]
    metas = [
        [{'ori_shape': (512, 512, 3), 'img_shape': (*v.shape[2:], 3), 'flip': odd, 'flip_direction': 'horizontal'}]
        for v, odd in zip(views, [False, True] * len(SCALES), strict=True)
    ]
    size = (512, 512)
    batch: Batch = {'image': image, 'meta': [{'path': '', 'name': '', 'size': size, 'original_size': size}]}
    segmentor = module.segmentor
    ways: dict[str, Callable[[], Any]] = {
        'bare forward': lambda: [segmentor._decode_head_forward_test(segmentor.extract_feat(v), None) for v in views],
        'seglight': lambda: module.predict(batch, options)[0].mask.numpy(),
        "mmseg's aug_test": lambda: segmentor.aug_test(views, metas)[0],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        equal = (ways['seglight']() == ways["mmseg's aug_test"]()).mean()
        for _ in range(ROUNDS):
            for name, way in ways.items():
                start = time.perf_counter()
                way()
                times[name].append(time.perf_counter() - start)
    bare = statistics.median(times['bare forward'])
    print(f'{len(views)} views, {classes} classes, {torch.get_num_threads()} threads')
    for name, seconds in times.items():
        median = statistics.median(seconds)
        print(f'{name:<18} {median:6.2f} s  {median / bare:5.2f} x bare forward')
    print(f'equal pixels       {100 * equal:.4f} %')


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
