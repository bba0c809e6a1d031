"""What commands consist of, and the words that several of them share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from inspect import cleandoc
from typing import NamedTuple, NoReturn

from seglight.errors import UsageError

TRUST = 'Allow your own checkpoint to name classes of any package.'
CHECKPOINT = 'A path, or relative to work_dirs; the folder of a run means its best checkpoint.'
WEIGHTS = 'A positive number for each; equal by default.'


class Command(NamedTuple):
    """A command: what runs it, what adds its arguments to a parser, and whether it passes further words on to `fit`."""

    run: Callable[[Namespace], None]
    add_arguments: Callable[[ArgumentParser], None]
    passes_flags: bool = False

    @property
    def description(self) -> str:
        """The description in its `--help`."""
        return cleandoc(self.run.__doc__ or '')

    @property
    def help(self) -> str:
        """Its line in `seglight --help`."""
        return self.description.splitlines()[0]


class Parser(ArgumentParser):
    """A parser that reports errors as one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage.

        Raises:
            UsageError: always.
        """
        raise UsageError(f'{self.prog.removeprefix("seglight ")}: {message} (--help shows more)')
