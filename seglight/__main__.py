"""`python -m seglight`, and the console script `seglight`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; `--version` answers without loading torch."""
    if sys.argv[1:] == ['--version']:
        from seglight import __version__

        print(f'seglight {__version__}')
        return

    from seglight.cli import main as run

    sys.exit(run(sys.argv[1:]))


if __name__ == '__main__':
    main()
