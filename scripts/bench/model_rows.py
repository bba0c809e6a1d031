"""The CSV of a benchmark that takes hours: a line is appended for each model when it is done."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path


def read(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV by column, none if it is missing."""
    if not path.exists():
        return []
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def append(path: Path, row: Mapping[str, str]) -> None:
    """Add a line to a CSV, after the names of the columns if it is new."""
    with path.open('a', newline='') as file:
        writer = csv.DictWriter(file, row, lineterminator='\n')
        if not file.tell():
            writer.writeheader()
        writer.writerow(row)
