"""The lines that a run prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence

from seglight.terminal import cell_width, columns, padded


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


def tabulated(rows: Sequence[Sequence[str]], right: Collection[int], gap: str = '  ', indent: str = '') -> list[str]:
    """Return the lines of a table to print; in a terminal, columns that do not fit go below their row.

    Args:
        rows: as for `aligned`; the first holds the titles.
        right: see `aligned`.
        gap: see `aligned`.
        indent: before each line.
    """
    room = columns() - len(indent) if sys.stdout.isatty() else None
    lines = aligned(rows, right, gap)
    beside = len(rows[0])
    while room is not None and beside > 1 and max(map(cell_width, lines)) > room:
        beside -= 1
        lines = aligned([row[:beside] for row in rows], right, gap)
    titles = rows[0][beside:]
    width = max(map(cell_width, titles), default=0)
    found = []
    for at, (line, row) in enumerate(zip(lines, rows, strict=True)):
        found.append(line)
        below = zip(titles, row[beside:], strict=True) if at else ()
        found += [f'  {padded(title, width)}  {cell}' for title, cell in below if cell]
    return [indent + line for line in found]
