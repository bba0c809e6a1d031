"""Errors that a user can cause: one sentence with file, cause and cure, shown without a traceback; and warnings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from seglight import styles
from seglight.terminal import write

#: Halves of characters, which JSON can contain and no terminal shows; not those that stand for bytes of file names.
_HALVES = {*range(0xD800, 0xE000)} - {*range(0xDC80, 0xDD00)}

#: Characters that names in untrusted files may contain and that control a terminal, or cannot be printed.
_UNPRINTABLE = dict.fromkeys({*range(32), *range(127, 160), *_HALVES} - {9, 10}, '?')


def one_line(error: BaseException | str) -> str:
    """Return a message in one line, with single spaces."""
    return ' '.join(str(error).split())


#: The lists that collect warnings, innermost last.
_collections: list[list[str]] = []


def harmless(text: str) -> str:
    """Return a text without characters that control a terminal or cannot be printed."""
    return text.translate(_UNPRINTABLE)


def printable(text: str, kept: str = '') -> str:
    """Return a text with a question mark for each character that Python does not print.

    Stricter than `harmless`, for words that a stranger chose: it also replaces line breaks, which could fake another
    line, and characters that are invisible or reverse a text.

    Args:
        text: from an untrusted file.
        kept: characters to keep all the same.
    """
    return ''.join(letter if letter.isprintable() or letter in kept else '?' for letter in text)


def say(text: object, end: str = '\n') -> None:
    """Print a text to stdout, without control characters, since parts of it may come from an untrusted file."""
    write(styles.of_lines(harmless(str(text))), sys.stdout, end)


def warn(message: str) -> None:
    """Print a warning to stderr, unless it is collected."""
    if _collections:
        _collections[-1].append(message)
    else:
        write(styles.of_warning(harmless(message)), sys.stderr)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect warnings in a list instead of printing them."""
    warnings: list[str] = []
    _collections.append(warnings)
    try:
        yield warnings
    finally:
        _collections.pop()


class UserError(Exception):
    """Base class of errors that the command line prints as one line; it then exits with `status`."""

    status = 2

    def __init__(self, message: str = '') -> None:
        """Keep the message as one line, even if a data loader's worker wrapped it in a traceback."""
        lines = str(message).strip().splitlines()
        if any('Traceback (most recent call last)' in line for line in lines):
            lines = [lines[-1].removeprefix(f'{type(self).__module__}.{type(self).__qualname__}: ')]
        super().__init__(harmless(' '.join(lines)) or type(self).__name__)


#: Words that continue a sentence that starts with a key.
_PREDICATES = ('cannot', 'has', 'is', 'multiplies', 'must', 'names', 'needs')


class ConfigError(UserError):
    """The value of a key of the config is wrong.

    Args:
        key: the dotted key, for example `data.batch_size`; callers can look up where it was written.
        text: what is wrong with its value, for example `must be at least 1, got 0`.
    """

    def __init__(self, key: str, text: str | None = None) -> None:
        if text is None:  # mmcv's builders, data loaders and pickle recreate an error from its message alone
            key, text = '', key
        joint = ' ' if text.startswith(tuple(f'{word} ' for word in _PREDICATES)) else ': '
        super().__init__(f'{key}{joint}{text}' if key else text)
        self.key, self.text = key, text


class UsageError(ConfigError):
    """A command line, or a config file as a whole, is wrong, rather than the value of a key."""

    def __init__(self, text: str) -> None:
        super().__init__('', text)


class DataError(UserError):
    """An image, a mask, an annotation file or a folder of the data set is wrong."""


class CheckpointError(UserError):
    """A checkpoint is missing or cannot be used."""


class OutputError(UserError):
    """A file or folder cannot be written."""


class TrainingError(UserError):
    """Training cannot continue with these data and settings."""


class SetupError(UserError):
    """A required package is missing, has an unsupported version, or cannot be installed."""


class Interrupted(UserError):
    """A signal stopped the run, which can be resumed from its checkpoint: not a fault, but the run is unfinished."""

    status = 75  # EX_TEMPFAIL of sysexits.h: try again later
