"""The commands that need no trainer.

Each imports what it calls when it runs, so that --help, and commands without a model, start without torch. The first
line of a command's docstring is its help in `seglight --help`; the docstring is its description.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence

from seglight.cli.commands import competition, data, installed, planning, results, weights
from seglight.cli.commands.base import Command, Parser
from seglight.cli.help import HELP_ALL, WORDS, page_of, show
from seglight.errors import UsageError
from seglight.files import expand_home

#: The commands by name, in the order of `seglight --help`.
COMMANDS = {
    'setup': Command(installed.setup, installed.setup_arguments),
    'data': Command(data.data, data.data_arguments),
    'zoo': Command(installed.zoo, installed.zoo_arguments),
    'info': Command(weights.info, weights.info_arguments),
    'report': Command(results.report, results.report_arguments),
    'plan': Command(planning.plan, planning.plan_arguments),
    'sweep': Command(planning.sweep, planning.sweep_arguments, passes_flags=True),
    'folds': Command(competition.folds, competition.folds_arguments, passes_flags=True),
    'ensemble': Command(competition.ensemble, competition.ensemble_arguments),
    'vote': Command(results.vote, results.vote_arguments),
    'join': Command(results.join, results.join_arguments),
    'soup': Command(weights.soup, weights.soup_arguments),
    'convert': Command(weights.convert, weights.convert_arguments),
    'export': Command(weights.export, weights.export_arguments),
    'benchmark': Command(weights.benchmark, weights.benchmark_arguments),
    'completion': Command(installed.completion, installed.completion_arguments),
}


def main(argv: Sequence[str], command_line: Callable[[Sequence[str]], object]) -> None:
    """Run one of `COMMANDS` with its arguments.

    Args:
        argv: the command's name and its arguments.
        command_line: runs the trainer's command line, whose options `completion` lists.
    """
    name, *words = argv
    if '' in words and name != 'zoo':  # whose pattern may be empty
        raise UsageError(f'{name}: an argument is empty, perhaps from an unset variable of the shell')
    parser = Parser(prog=f'seglight {name}', allow_abbrev=False)
    describe(name, parser)
    asking = words[:1] if argv[:2] == ['data', 'labels'] else words  # it has a help of its own
    if any(word in WORDS for word in asking):
        show(page_of(name, parser), name)
        return
    parsed, flags = parser.parse_known_args([expand_home(word) for word in words], Namespace(command_line=command_line))
    if flags and not COMMANDS[name].passes_flags:
        parser.error(f'unrecognized arguments: {" ".join(flags)}')
    parsed.flags = flags
    COMMANDS[name].run(parsed)


def describe(name: str, parser: ArgumentParser) -> None:
    """Add the arguments and the description of a command to a parser."""
    parser.description = COMMANDS[name].description
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument('--help-all', action='help', default=SUPPRESS, help=HELP_ALL)
    COMMANDS[name].add_arguments(parser)
    if not COMMANDS[name].passes_flags:  # otherwise it is one of `fit`; the border looks for it in the command line
        parser.add_argument('--debug', action='store_true', help='Print the traceback of an error.')
