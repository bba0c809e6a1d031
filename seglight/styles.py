"""Which parts of the printed lines a terminal shows in bold or colour."""

from __future__ import annotations

import re
from collections.abc import Iterator

from seglight.terminal import Span

LABEL, PROGRAM, WARNING, STRONG = 'bold cyan', 'bold red', 'bold yellow', 'bold'

#: The label of a line of `seglight.console.labelled`, in ten columns.
_LABEL = re.compile(r'(?=.{10} \S)[A-Z][\w&]*( \w+)? +')

#: The mean of a metric over the classes, in a table of metrics.
_MEAN = re.compile(r'  (mIoU|m[A-Z]\w+|aAcc) +\d')

#: The end of an error that says what to do: after the last semicolon, or what a value must be.
_CURE = re.compile(r'(?<=; )[^;]+$|\bmust .+?(?=, got |$)')


def of_lines(text: str) -> Iterator[Span]:
    """Yield the parts of printed lines: labels in colour, the means of metrics in bold."""
    for line in text.splitlines(keepends=True):
        if found := _LABEL.match(line):
            yield found[0], LABEL
            yield line[found.end() :], ''
        else:
            yield line, STRONG if _MEAN.match(line) else ''


def of_error(message: str) -> Iterator[Span]:
    """Yield the parts of an error: the name of the program in red, the cure in bold."""
    yield 'seglight: ', PROGRAM
    cures = list(_CURE.finditer(message))
    start, end = cures[-1].span() if cures else (len(message), len(message))
    yield message[:start], ''
    yield message[start:end], STRONG
    yield message[end:], ''


def of_warning(message: str) -> Iterator[Span]:
    """Yield the parts of a warning: its start in yellow."""
    yield 'seglight: warning: ', WARNING
    yield message, ''
