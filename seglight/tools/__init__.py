"""Commands that need no trainer, one module each; a module is imported only when its command is typed.

A module has a docstring, whose first line is the command's help, `add_arguments(parser)` and
`run(arguments)`.
"""

from __future__ import annotations

import importlib
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import NoReturn

from seglight.errors import UsageError
from seglight.files import expand_home

#: Each command and what it does, in the order of `seglight --help`.
COMMANDS = {
    'setup': 'Install mmcv, which pip cannot build, and print what is installed.',
    'data': 'Check the images and masks of a config (data check), or draw augmented samples (data show).',
    'zoo': 'List the models of mmsegmentation that --model.zoo takes.',
    'info': 'Show the contents of a checkpoint without building its model.',
    'report': 'Write a page that shows one run or compares several.',
    'vote': 'Take a vote of submissions or folders of masks on each pixel.',
    'soup': 'Average the weights of checkpoints of one architecture.',
    'convert': "Turn a backbone's published weights into mmseg's.",
    'export': "Write a checkpoint in mmseg's form.",
    'completion': 'Print a script that completes commands and options in a shell.',
}


class _Parser(ArgumentParser):
    """A parser whose errors are a user's errors, told in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the error in place of the usage text.

        Raises:
            ConfigError: always.
        """
        raise UsageError(f'{self.prog.removeprefix("seglight ")}: {message} (--help shows more)')


def main(argv: Sequence[str], command_line: Callable[[Sequence[str]], object]) -> None:
    """Run one of `COMMANDS` with its arguments.

    Args:
        argv: the command's name and what follows it.
        command_line: runs the command line of the trainer, whose options `completion` lists.
    """
    name, *words = argv
    parser = _Parser(prog=f'seglight {name}', allow_abbrev=False)
    describe(name, parser)
    parsed = parser.parse_args([expand_home(word) for word in words], Namespace(command_line=command_line))
    importlib.import_module(f'seglight.tools.{name}').run(parsed)


def describe(name: str, parser: ArgumentParser) -> None:
    """Give a parser the arguments and the description of a command."""
    module = importlib.import_module(f'seglight.tools.{name}')
    parser.description = module.__doc__
    parser.formatter_class = RawDescriptionHelpFormatter
    module.add_arguments(parser)
