"""Compare the time of test-time augmentation with mmseg's `aug_test` and with bare forward passes of the same views.

    python scripts/bench/tta.py [CLASSES]

SegFormer-B0, one image of 512x512, four scales with horizontal flips. seglight keeps freed memory, as its command line
does; so it has a process of its own, and the bare forward passes run in both. The candidates take turns. Printed are
the median of the seconds, the ratios within a round, and whether the masks are equal.
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
import numpy as np
import torch
from mmcv import Config
from pairs import process, ratios

from seglight.batch import Batch
from seglight.models import Segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views, resized, view_size

SCALES = [0.5, 1.0, 1.5, 2.0]
ROUNDS = 3

#: The candidates: name in `WAYS`, and whether their process keeps freed memory.
CANDIDATES = {
    'bare forward': ('bare forward', False),
    'bare forward, memory kept': ('bare forward', True),
    'seglight': ('seglight', True),
    "mmseg's aug_test": ("mmseg's aug_test", False),
}

#: What a process can run, once it is set up.
WAYS: dict[str, Callable[[], Any]] = {}


def main(classes: int) -> None:
    """Print the times and their ratios."""
    pools = {keep: process(keep, set_up, classes) for keep in (False, True)}
    seconds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    masks = {}
    for turn in range(ROUNDS + 1):  # the first one warms up
        for name, (way, keep) in CANDIDATES.items():
            elapsed, masks[name] = pools[keep].submit(run, way).result()
            if turn:
                seconds[name].append(elapsed)
    print(f'{2 * len(SCALES)} views, {classes} classes, {torch.get_num_threads()} threads')
    for name, each in seconds.items():
        print(f'{name:<26} {statistics.median(each):6.2f} s   {ratios(each, seconds["bare forward"])} x bare forward')
    equal = np.mean(masks['seglight'] == masks["mmseg's aug_test"])
    print(f'equal pixels {100 * equal:.4f} %')


def run(way: str) -> tuple[float, Any]:
    """Return the seconds that one of `WAYS` takes, and the mask that it predicts."""
    with torch.inference_mode():
        start = time.perf_counter()
        mask = WAYS[way]()
        return time.perf_counter() - start, mask


def set_up(classes: int) -> None:
    """Build the model and the views, the same in every process."""
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

    def bare() -> None:
        for view in views:
            segmentor._decode_head_forward_test(segmentor.extract_feat(view), None)

    WAYS['bare forward'] = bare
    WAYS['seglight'] = lambda: module.predict(batch, options)[0].mask.numpy()
    WAYS["mmseg's aug_test"] = lambda: segmentor.aug_test(views, metas)[0]


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
