"""The lines that another process appends to a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path


class Lines:
    """The lines that a command appends to its log from now on.

    Args:
        log: the file, which need not exist yet.
        show: receives each line, without its end.
    """

    def __init__(self, log: Path, show: Callable[[str], None]) -> None:
        self.log = log
        self.show = show
        self.last = ''
        self._position = log.stat().st_size if log.exists() else 0

    def read(self) -> None:
        """Show the lines that are complete."""
        if not self.log.exists():
            return
        with self.log.open('rb') as file:
            file.seek(self._position)
            for line in iter(partial(file.readline), b''):
                if not line.endswith(b'\n'):
                    return
                self._position += len(line)
                text = line.decode(errors='replace').rstrip('\r\n')
                self.last = text.strip() or self.last
                self.show(text)
