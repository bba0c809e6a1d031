"""Measure the peak memory of sliding windows on an image whose logits would not fit into memory.

    python scripts/bench/slide_memory.py [SIDE] [whole]

A small segmentor with 11 classes on a noise image of SIDE x SIDE pixels, 10,000 by default, in windows of 512.
With `whole` the logits of the image are put together first, as mmseg's `slide_inference` does.
"""

from __future__ import annotations

import resource
import sys
import time

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import torch

from seglight.batch import Batch
from seglight.models import Segmentor
from seglight.models.inference.logits import Prediction, predict_mask

NORM = {'type': 'BN'}
MODEL = {
    'type': 'EncoderDecoder',
    'backbone': {
        'type': 'ResNetV1c',
        'depth': 18,
        'base_channels': 8,
        'stem_channels': 8,
        'norm_cfg': NORM,
    },
    'decode_head': {
        'type': 'FCNHead',
        'in_channels': 64,
        'in_index': 3,
        'channels': 16,
        'num_convs': 1,
        'norm_cfg': NORM,
    },
    'test_cfg': {'mode': 'slide', 'crop_size': (512, 512), 'stride': (448, 448)},
}


def main(side: int, whole: bool) -> None:
    """Print the memory before, the peak, and the time."""
    module = Segmentor(MODEL, [str(label) for label in range(11)]).eval()
    image = torch.randint(0, 256, (1, 3, side, side), dtype=torch.uint8)
    with torch.inference_mode():
        module.predict_step(_batch(image[..., :600, :600]), 0)
        before = _peak()
        start = time.perf_counter()
        if whole:
            (logits,) = module(_batch(image))
            prediction = Prediction(predict_mask(logits[None], 0.0)[0])
        else:
            (prediction,) = module.predict_step(_batch(image), 0)
    seconds = time.perf_counter() - start
    assert prediction.mask.shape == (side, side)
    print(
        f'{side} x {side}: peak {_peak():.2f} GB, {before:.2f} GB of it before (the image is {image.nbytes / 1e9:.2f})'
    )
    print(f'logits of the image would take {side * side * 11 * 4 / 1e9:.2f} GB; {seconds:.0f} s')


def _batch(image: torch.Tensor) -> Batch:
    height, width = image.shape[2:]
    size = (height, width)
    return {'image': image, 'meta': [{'path': '', 'name': '', 'size': size, 'original_size': size}]}


def _peak() -> float:
    """Return the peak memory of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, 'whole' in sys.argv)
