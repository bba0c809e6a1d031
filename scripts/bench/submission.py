"""Compare the time to format the labels of a submission with the two usual ways.

    python scripts/bench/submission.py

Masks of 256x256 with 11 classes; the ways take turns.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
from pairs import ratios, seconds_in_turn

from seglight.submissions import format_labels

ROUNDS = 30
TABLE = [str(label) for label in range(256)]


def main() -> None:
    """Print the times and their ratios."""
    blocks = np.random.default_rng(0).integers(0, 11, (32, 32), dtype=np.uint8)
    mask = np.kron(blocks, np.ones((8, 8), dtype=np.uint8))
    ways: dict[str, Callable[[], bytes]] = {
        "' '.join(str(e) for e in mask.flatten().tolist())": lambda: ' '.join(
            str(e) for e in mask.flatten().tolist()
        ).encode(),
        'a table of strings': lambda: ' '.join([TABLE[label] for label in mask.flatten().tolist()]).encode(),
        'seglight': lambda: format_labels(mask),
    }
    assert len({way() for way in ways.values()}) == 1
    times = seconds_in_turn(ways, ROUNDS)
    for name, seconds in times.items():
        slower = ratios(seconds, times['seglight'])
        print(f'{name:<50} {1000 * statistics.median(seconds):6.2f} ms an image  {slower} x seglight')


if __name__ == '__main__':
    main()
