"""Compare PSANet with mmcv's compiled operator and with seglight's in PyTorch: a training step, and the operator alone.

    python scripts/bench/psa_mask.py [--model CONFIG] [--size 512] [--batch 1] [--threads 1] [--rounds 5]

Needs mmcv-full 1.7 with its operators compiled. Both operators run in one process, with the same model and the same
tensors, in turn. Printed are the median of the CPU time and the ratios within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import torch
from mmcv.ops import psa_mask as home
from pairs import ratios, seconds_in_turn
from sides import Task, gradients, quieten
from torch import Tensor

from seglight.ops import psa_mask

SHRINKING = 16  #: rows of an image for each row of the masks


def main() -> None:
    """Time both operators in turn, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--model', default='psanet/psanet_r50-d8_512x512_160k_ade20k.py', help='in the configs of mmseg'
    )
    parser.add_argument('--size', type=int, default=512, help='rows and columns of an image')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=5)
    options = parser.parse_args()
    if home.psa_mask is psa_mask:
        print('skipped: mmcv has no compiled operators here')
        return
    quieten()
    torch.set_num_threads(options.threads)
    operators = {'compiled': home.psa_mask, 'PyTorch': psa_mask}
    segmentor = Task(options.model, '').build().train()
    window, rows = segmentor.decode_head.mask_size, options.size // SHRINKING
    for kind, name in enumerate(('collect', 'distribute')):
        ways = alone(operators, kind, window, (options.batch, rows))
        compare(f'{name}, windows {window}, map {rows}x{rows}', ways, options.rounds)
    compare('training step', steps(operators, segmentor, options.batch, options.size), options.rounds)


def compare(title: str, ways: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Print the CPU times of both operators."""
    times = seconds_in_turn(ways, rounds, time.process_time)
    for name, each in times.items():
        faster = ratios(times['compiled'], each)
        print(f'{title}: {name:<9} {statistics.median(each):8.3f} s   {faster} x as fast as compiled', flush=True)


def alone(
    operators: Mapping[str, Callable[..., Tensor]], kind: int, window: tuple[int, int], size: tuple[int, int]
) -> dict[str, Callable[[], object]]:
    """Return functions that run an operator forward and backward on `size` maps of `size` rows and columns."""
    torch.manual_seed(0)
    count, rows = size
    windows = torch.randn(count, window[0] * window[1], rows, rows, requires_grad=True)
    gradient = torch.randn(count, rows * rows, rows, rows)

    def way(operator: Callable[..., Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(operator(windows, kind, window), windows, gradient)

    return {name: way(operator) for name, operator in operators.items()}


def steps(
    operators: Mapping[str, Callable[..., Tensor]], segmentor: Any, batch: int, size: int
) -> dict[str, Callable[[], object]]:
    """Return functions that run the model forward and backward with an operator."""
    step = gradients(segmentor, torch.randn(batch, 3, size, size))

    def way(operator: Callable[..., Tensor]) -> Callable[[], object]:
        def run() -> None:
            home.psa_mask = operator
            step()

        return run

    return {name: way(operator) for name, operator in operators.items()}


if __name__ == '__main__':
    main()
