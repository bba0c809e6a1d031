"""`python -m seglight`, and the console script `seglight`."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

from seglight import __version__, tools
from seglight.errors import UserError


def run(argv: Sequence[str]) -> int:
    """Run a command line and return its exit status: 2 for an error of the user's, 75 for a run to resume.

    What a command does not need is not imported: torch comes with the commands that train or predict.
    """
    try:
        if list(argv) == ['--version']:
            print(f'seglight {__version__}')
        elif argv and argv[0] in tools.COMMANDS:
            tools.main(argv)
        else:
            from seglight.cli import CommandLine

            CommandLine(argv)
    except UserError as error:
        if '--debug' in argv:
            traceback.print_exc()
        print(f'seglight: {error}', file=sys.stderr)
        return error.status
    return 0


def main() -> None:
    """Run the command line of this process and exit with its status, 130 after Ctrl-C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='surrogateescape')  # for names of files that are no UTF-8
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:  # the reader, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt as stop:
        print(f'seglight: stopped by Ctrl-C{"; " * bool(stop.args)}{stop}', file=sys.stderr)
        sys.exit(130)


if __name__ == '__main__':
    main()
