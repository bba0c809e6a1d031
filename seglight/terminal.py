"""The terminal: whether text may be styled, how wide it is, and how many of its columns a text takes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import TextIO

#: A part of a text, and its style in rich's words, for example `bold red`; an empty style for plain text.
Span = tuple[str, str]


def is_styled(stream: TextIO) -> bool:
    """Return whether a stream is a terminal that shows styles, and the user has not disabled them.

    `NO_COLOR` with any value (https://no-color.org) and `TERM=dumb` disable them.
    """
    return not (os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb') and stream.isatty()


def columns() -> int:
    """Return the width of the terminal, 80 if the output is not one; `COLUMNS` overrides it."""
    return shutil.get_terminal_size((80, 24)).columns


def cell_width(text: str) -> int:
    """Return how many columns of a terminal a text takes: Korean, Chinese and Japanese letters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # late: most texts are ASCII

    return cell_len(text)


def padded(text: str, width: int, right: bool = False) -> str:
    """Return a text with spaces up to a width in columns, before it if it is aligned to the right."""
    spaces = ' ' * (width - cell_width(text))
    return spaces + text if right else text + spaces


def write(spans: Iterable[Span], stream: TextIO, end: str = '\n') -> None:
    """Print a text; with its styles in a terminal that shows them, otherwise plain."""
    if not is_styled(stream):
        print(''.join(text for text, _ in spans), end=end, file=stream, flush=True)
        return
    from rich.console import Console  # late: only terminals need it
    from rich.text import Text

    text = Text.assemble(*spans)
    Console(file=stream, highlight=False, markup=False).print(text, end=end, soft_wrap=True)  # the terminal wraps lines
    stream.flush()
