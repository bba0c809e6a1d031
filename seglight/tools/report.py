"""Write a page that shows a run, or one that compares several.

Of one run, `report.html` in its folder: curves, classes, calibration, best and worst images, config.
Of several, `compare_{names}.html` in the folder of the last: curves and classes side by side, and where
the configs differ.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from seglight.console import labelled
from seglight.errors import UsageError
from seglight.report.run import find_run


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('runs', nargs='+', help='Folders of runs: paths, or relative to work_dirs.')


def run(arguments: Namespace) -> None:
    """Write the page and say where it lies."""
    folders = [find_run(name) for name in arguments.runs]
    try:
        from seglight.report.page import write_comparison, write_report  # late: matplotlib takes a second

        page = write_report(folders[0]) if len(folders) == 1 else write_comparison(folders)
    except OSError as error:
        raise UsageError(f'report: the page cannot be written to {folders[-1]}: {error.strerror}') from error
    print(labelled('Report', page))
