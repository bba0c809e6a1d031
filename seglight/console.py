"""The lines that a run prints."""

from __future__ import annotations


def labelled(label: str, text: object) -> str:
    """Return a line with a label in a fixed-width column, for example `Run        work_dirs/exp1`."""
    return f'{label:<10} {text}'
