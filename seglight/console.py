"""The lines that a run prints."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from seglight.terminal import cell_width, padded


def labelled(label: str, text: object) -> str:
    """Return a line with a label in a fixed-width column, for example `Run        work_dirs/exp1`."""
    return f'{label:<10} {text}'


def program() -> str:
    """Return how the user starts seglight, for commands to copy."""
    return os.environ.get('SEGLIGHT_COMMAND', 'python -m seglight')


def aligned(rows: Sequence[Sequence[str]], right: Collection[int], gap: str = '  ') -> list[str]:
    """Return the lines of a table.

    Args:
        rows: the cells of each line, as many in each.
        right: the columns that are aligned to the right; the others to the left.
        gap: between two columns.
    """
    widths = [max(map(cell_width, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            padded(cell, width, at in right) for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
