"""Errors that a user can cause: one sentence with file, cause and cure, shown without a traceback; and warnings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What commands a terminal, which a stranger's file may have in its names.
_CONTROL = dict.fromkeys({*range(32), *range(127, 160)} - {9, 10}, '?')


def one_line(error: BaseException | str) -> str:
    """Return a message with its line breaks and runs of blanks as single blanks."""
    return ' '.join(str(error).split())


#: Where warnings go while they are collected.
_collections: list[list[str]] = []


def harmless(text: str) -> str:
    """Return a text without the characters that command a terminal."""
    return text.translate(_CONTROL)


def say(text: object, end: str = '\n') -> None:
    """Print to stdout, where a stranger's file may have put its words into the text."""
    print(harmless(str(text)), end=end, flush=True)


def warn(message: str) -> None:
    """Print a warning to stderr, unless it is collected."""
    if _collections:
        _collections[-1].append(message)
    else:
        print(f'seglight: warning: {harmless(message)}', file=sys.stderr, flush=True)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Return the list of the warnings that would be printed meanwhile, to count or order them."""
    found: list[str] = []
    _collections.append(found)
    try:
        yield found
    finally:
        _collections.pop()


class UserError(Exception):
    """Base of all errors that the command line prints as one line before it exits with `status`."""

    status = 2

    def __init__(self, message: str = '') -> None:
        """Keep the message as one line, also where a data loader's worker wrapped it in its traceback."""
        lines = str(message).strip().splitlines()
        if any('Traceback (most recent call last)' in line for line in lines):
            lines = [lines[-1].removeprefix(f'{type(self).__module__}.{type(self).__qualname__}: ')]
        super().__init__(harmless(' '.join(lines)) or type(self).__name__)


#: Words that continue a sentence which a key begins.
_PREDICATES = ('cannot', 'has', 'is', 'multiplies', 'must', 'names', 'needs')


class ConfigError(UserError):
    """The value of a key of the config is wrong.

    Args:
        key: the dotted key, for whoever knows where it was written, such as `data.batch_size`.
        text: what is wrong with its value, such as `must be at least 1, got 0`.
    """

    def __init__(self, key: str, text: str | None = None) -> None:
        if text is None:  # mmcv's builders, data loaders and pickle make an error anew from its message alone
            key, text = '', key
        joint = ' ' if text.startswith(tuple(f'{word} ' for word in _PREDICATES)) else ': '
        super().__init__(f'{key}{joint}{text}' if key else text)
        self.key, self.text = key, text


class UsageError(ConfigError):
    """A command line, or a config file as a whole, is wrong: no key is to blame."""

    def __init__(self, text: str) -> None:
        super().__init__('', text)


class DataError(UserError):
    """An image, a mask or a folder of the data set is wrong."""


class CheckpointError(UserError):
    """A checkpoint is missing or cannot be used."""


class OutputError(UserError):
    """A file or folder cannot be written."""


class TrainingError(UserError):
    """Training cannot go on with these data and settings."""


class SetupError(UserError):
    """A package that seglight needs is missing, is of another version or cannot be installed."""


class Interrupted(UserError):
    """A signal ended the run, which can go on from its checkpoint: nothing is wrong, but it is not at its end."""

    status = 75  # EX_TEMPFAIL of sysexits.h: try again later
