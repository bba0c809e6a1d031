"""Compare training with and without torch's channels-last memory format, for the smallest model of each family.

    python scripts/bench/memory_format.py [--size 256] [--batch-size 2] [--rounds 3] [FAMILY ...]

Prints a table of the families: the seconds of a forward and a backward pass on random images with contiguous
tensors, and how many times as fast channels-last ones are, the median and the range within a round.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable

from seglight import compat  # noqa: F401  (first: mmcv imports torchvision)

# isort: split
import torch
from pairs import ratios, seconds_in_turn
from sides import Task, gradients, quieten

from seglight.errors import one_line
from seglight.memory import keep_freed_memory
from seglight.tools.zoo import parameter_counts

FORMATS = {'contiguous': torch.contiguous_format, 'channels-last': torch.channels_last}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('families', nargs='*', metavar='FAMILY', help='folders of mmseg; all by default')
    parser.add_argument('--size', type=int, default=256)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    quieten()
    print(f'torch {torch.__version__}, {torch.get_num_threads()} threads, {vars(options)}')
    print('| model | s | channels-last, times as fast |\n|---|---:|---:|')
    for name in smallest_models(options.families):
        print(f'| {name} | {compare(name, options.size, options.batch_size, options.rounds)} |', flush=True)


def smallest_models(families: list[str]) -> list[str]:
    """Return the model with the fewest parameters of each family."""
    counts = parameter_counts()
    smallest: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (counts[name], name)):
        smallest.setdefault(name.split('/')[0], name)
    return [smallest[family] for family in sorted(families or smallest)]


def compare(name: str, size: int, batch_size: int, rounds: int) -> str:
    """Return the cells of a model: the seconds of a step, and the ratio; or the error."""
    try:
        steps = {title: step(name, size, batch_size, memory_format) for title, memory_format in FORMATS.items()}
        seconds = seconds_in_turn(steps, rounds)
    except (RuntimeError, ValueError) as error:
        return f'| {one_line(error)}'
    contiguous, channels_last = seconds.values()
    return f'{statistics.median(contiguous):.2f} | {ratios(contiguous, channels_last)}'


def step(name: str, size: int, batch_size: int, memory_format: torch.memory_format) -> Callable[[], None]:
    """Return a function that computes the gradients for a batch of random images."""
    segmentor = Task(f'{name}.py', '').build().train().to(memory_format=memory_format)
    image = torch.randn(batch_size, 3, size, size).contiguous(memory_format=memory_format)
    return gradients(segmentor, image)


if __name__ == '__main__':
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        main()
