"""`python -m seglight`, and the console script `seglight`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; `--version` answers without loading torch."""
    if sys.argv[1:] == ['--version']:
        from seglight import __version__

        print(f'seglight {__version__}')
        return

    try:
        from seglight.cli import main as run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt as stop:
        print(f'seglight: stopped by Ctrl-C{"; " * bool(stop.args)}{stop}', file=sys.stderr)
        sys.exit(130)


if __name__ == '__main__':
    main()
