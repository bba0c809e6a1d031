"""Measure the size of a checkpoint, and the time to write and to verify it, for numbers of parameters.

    python scripts/bench/checkpoints.py [--millions 4 80] [--rounds 3] [--folder FOLDER]

The weights are random, in tensors of a million values, with the two moments of AdamW. Shown are the medians of the time
on the clock and of the processor; the former contains the flush to the disk of the folder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from seglight.weight_files import read_file, write_checkpoint

MILLION = 1_000_000


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds on the clock, and those of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Print a row for each number of parameters."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--millions', type=int, nargs='+', default=[4, 80])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--folder', type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / 'last.ckpt'
        for millions in arguments.millions:
            weights = {f'layer{index}': torch.randn(MILLION) for index in range(millions)}
            state = {
                index: {'step': torch.tensor(1.0), 'exp_avg': torch.randn(MILLION), 'exp_avg_sq': torch.rand(MILLION)}
                for index in range(millions)
            }
            entries = {'state_dict': weights, 'optimizer_states': [{'state': state}]}
            writing = [timed(lambda entries=entries: write_checkpoint(entries, path)) for _ in range(arguments.rounds)]  # type: ignore[misc]
            reading = [timed(lambda: read_file(path)) for _ in range(arguments.rounds)]
            megabytes = path.stat().st_size / 1e6
            print(f'{millions} million parameters: {megabytes:.0f} MB, {megabytes / millions:.1f} bytes each')
            for name, times in (('write', writing), ('read', reading)):
                clock, processor = (statistics.median(column) for column in zip(*times, strict=True))
                print(f'  {name} {clock:.2f} s ({megabytes / clock:.0f} MB/s), processor {processor:.2f} s')


if __name__ == '__main__':
    main()
