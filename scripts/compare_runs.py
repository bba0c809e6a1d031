"""Compare the results of two runs bit by bit: files, logged steps, and checkpoints.

python scripts/compare_runs.py work_dirs/exp1 work_dirs/exp2
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

#: Entries of a checkpoint that may differ between identical runs: they contain folders and the command.
ASIDE = ('config', 'environment')

#: Entries of callbacks' states that may differ: file names, and times.
NOT_COMPARED = ('best_k_models', 'time_elapsed')


def differences(first: Path, second: Path) -> list[str]:
    """Return what differs between the folders of two runs, one line each."""
    names = [sorted(path.name for path in folder.iterdir()) for folder in (first, second)]
    if names[0] != names[1]:
        return [f'files: {", ".join(sorted(set(names[0]) ^ set(names[1])))}']
    found = []
    if (first / 'metrics.csv').read_bytes() != (second / 'metrics.csv').read_bytes():
        found.append('metrics.csv')
    for name in names[0]:
        if name.endswith('.ckpt'):
            found += unequal(_contents(first / name), _contents(second / name), name)
    return found


def unequal(first: Any, second: Any, path: str) -> Iterator[str]:
    """Yield the path of every value that is not bitwise equal in two nested values."""
    if type(first) is not type(second):
        yield path
    elif isinstance(first, torch.Tensor):
        if first.dtype != second.dtype or not torch.equal(first, second):
            yield path
    elif isinstance(first, dict):
        if list(first) != list(second):
            yield path
        else:
            for name in first:
                yield from unequal(first[name], second[name], f'{path}: {name}')
    elif isinstance(first, (list, tuple)):
        if len(first) != len(second):
            yield path
        else:
            for index, pair in enumerate(zip(first, second, strict=True)):
                yield from unequal(*pair, f'{path}: {index}')
    elif first != second and first == first:  # a NaN is unequal to itself
        yield path


def _contents(checkpoint: Path) -> dict[str, Any]:
    """Return the entries of a checkpoint to compare, without paths and times in the states of callbacks."""
    entries = torch.load(checkpoint, weights_only=True)
    for state in entries['callbacks'].values():
        for name in [name for name in state if 'path' in name or name in NOT_COMPARED]:
            del state[name]
    return {name: value for name, value in entries.items() if name not in ASIDE}


if __name__ == '__main__':
    lines = differences(Path(sys.argv[1]), Path(sys.argv[2]))
    print('\n'.join(lines) or 'the runs are identical')
    sys.exit(bool(lines))
