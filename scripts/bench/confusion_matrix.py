"""Time the update of the confusion matrix on the CPU in mmseg's `intersect_and_union`, torchmetrics and seglight.

python scripts/bench/confusion_matrix.py [--size 512] [--classes 11] [--rounds 50]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)

# isort: split
import numpy as np
import torch
from mmseg.core.evaluation.metrics import intersect_and_union
from pairs import ratios, seconds_in_turn
from torchmetrics.classification import MulticlassConfusionMatrix

from seglight.models.metrics import SegmentationMetrics


def main() -> None:
    """Time the candidates alternately, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--size', type=int, default=512)
    parser.add_argument('--classes', type=int, default=11)
    parser.add_argument('--rounds', type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)  # as on a shared machine; spread over busy cores, all candidates are slower
    rng = np.random.default_rng(0)
    cells = rng.integers(0, options.classes, (options.size // 8, options.size // 8), dtype=np.uint8)
    mask = cells.repeat(8, 0).repeat(8, 1)
    prediction = np.where(
        rng.random(mask.shape) < 0.8, mask, rng.integers(0, options.classes, mask.shape, dtype=np.uint8)
    )
    mask[rng.random(mask.shape) < 0.05] = 255
    tensors = torch.from_numpy(prediction), torch.from_numpy(mask)
    theirs = MulticlassConfusionMatrix(options.classes, ignore_index=255, validate_args=False)
    ours = SegmentationMetrics(options.classes)
    candidates: dict[str, Callable[[], object]] = {
        'mmseg': lambda: intersect_and_union(prediction, mask, options.classes, 255),
        'torchmetrics': lambda: theirs.update(*tensors),
        'seglight': lambda: ours.update(*tensors),
    }
    times = seconds_in_turn(candidates, options.rounds)
    for name, each in times.items():
        faster = ratios(times['mmseg'], each)
        print(f'{name:<14} {1000 * statistics.median(each):6.2f} ms   {faster} x as fast as mmseg')


if __name__ == '__main__':
    main()
