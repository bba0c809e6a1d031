"""`python -m seglight`, and the console script `seglight`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from seglight import own_modules

if __name__ == '__main__':
    own_modules.leave_working_folder()  # before anything else is imported

from seglight import __version__, border, memory
from seglight.cli import help as help_text
from seglight.cli import tools
from seglight.cli.habits import check_habits
from seglight.installation import requirements


def run(argv: Sequence[str]) -> int:
    """Run a command line and return its exit status.

    2 for a user error, 75 for an interrupted run to resume, 1 for an unexpected error.

    Imports only what the command needs: torch is loaded by the commands that train or predict.
    """
    try:
        if list(argv) == ['--version']:
            print(f'seglight {__version__}')
            return 0
        if list(argv[:1]) != ['setup']:
            requirements.require()
        if page := _page_of_help(argv):
            help_text.show(*page)
        elif argv and argv[0] in tools.COMMANDS:
            tools.main(argv, _command_line)
        else:
            check_habits(argv)
            _command_line(argv)
    except BrokenPipeError:
        raise
    except Exception as error:
        return border.report(error, argv)
    return 0


def _page_of_help(argv: Sequence[str]) -> tuple[help_text.Page, str] | None:
    """Return the short help that a command line asks for, and the command whose `--help-all` has more."""
    name = argv[0] if argv else ''
    if name in (*help_text.WORDS, '--help-all', '--help_all'):
        lines = {**help_text.TRAINER_COMMANDS, **{each: command.help for each, command in tools.COMMANDS.items()}}
        return help_text.overview(lines), 'COMMAND'
    if name in help_text.PAGES and any(word in help_text.WORDS for word in argv):
        return help_text.PAGES[name], name
    return None


def _command_line(argv: Sequence[str]) -> None:
    """Run a command of the trainer."""
    from seglight.cli.command_line import CommandLine  # late: it loads torch

    if argv[:1] == ['fit'] and any(word.startswith('--ray') for word in argv):
        from seglight.cli.ray_fit import fit_on_ray

        fit_on_ray(argv[1:], CommandLine)
    else:
        CommandLine(argv)


def main() -> None:
    """Run the command line of this process and exit with its status, 130 after Ctrl-C."""
    memory.keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='surrogateescape')  # for file names that are not UTF-8
    try:
        status = run(sys.argv[1:])
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:  # stdout is redirected to a full disk
            _silence_stdout()
            status = status or border.report(error, sys.argv[1:])
        sys.exit(status)
    except BrokenPipeError:  # the reader, for example `head`, closed the pipe
        _silence_stdout()
    except KeyboardInterrupt as stop:
        print(f'seglight: stopped by Ctrl-C{"; " * bool(stop.args)}{stop}', file=sys.stderr)
        sys.exit(130)


def _silence_stdout() -> None:
    """Discard the remaining output, so that Python does not try to write it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == '__main__':
    main()
