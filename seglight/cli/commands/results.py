"""The commands for what runs wrote: their arguments, and the functions of `seglight.tools` that they call."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from seglight.cli.commands.base import WEIGHTS
from seglight.console import labelled
from seglight.counting import counted
from seglight.errors import say


def report(arguments: Namespace) -> None:
    """Write an HTML page that reports one run or compares several.

    For one run, `report.html` in its folder: curves, classes, calibration, best and worst images, config.
    For several, `compare_{names}.html` in the folder of the last: curves and classes side by side, and the
    differences between the configs.
    """
    from seglight.tools.report import write_page

    say(labelled('Report', write_page(arguments.runs, arguments.images)))


def report_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `report`."""
    parser.add_argument('runs', nargs='+', help='Folders of runs: paths, or relative to work_dirs.')
    text = 'Show images below this folder, too; the working folder and the embedded data set are always shown.'
    parser.add_argument('--images', action='append', default=[], type=Path, metavar='FOLDER', help=text)


def vote(arguments: Namespace) -> None:
    """Combine submissions or folders of masks by majority vote for each pixel.

    Each pixel gets the class with the largest total weight; among tied classes, the one of the earliest input wins.
    """
    from seglight.tools.vote import take_vote

    count = take_vote(arguments.inputs, arguments.output, arguments.weights)
    say(f'wrote the vote on {counted(count, "image")} to {arguments.output}')


def vote_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `vote`."""
    parser.add_argument('inputs', nargs='+', type=Path, help='CSV files of one competition, or folders of masks.')
    parser.add_argument('--weights', nargs='+', type=float, help=WEIGHTS)
    text = 'The CSV file or folder to write; it must not exist.'
    parser.add_argument('--output', required=True, type=Path, help=text)


def join(arguments: Namespace) -> None:
    """Put the parts of a prediction together, as one run would have written them.

    Parts that are missing, incomplete, given twice, or predicted with other checkpoints, settings or images are
    rejected. The contact sheet, which shows the first images of a run, is left out.

        seglight predict --ckpt exp1 --output out --part 1/2    on one machine
        seglight predict --ckpt exp1 --output out --part 2/2    on another
        seglight join out --output joined                       on one that reads the folders of both
    """
    from seglight.tools.join import join_parts

    images, parts = join_parts(arguments.folders, arguments.output)
    say(f'{arguments.output} has the predictions of {counted(images, "image")} from {counted(parts, "part")}')


def join_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `join`."""
    text = 'Folders that predict --part wrote, or folders that contain them.'
    parser.add_argument('folders', nargs='+', type=Path, help=text)
    parser.add_argument('--output', required=True, type=Path, help='The folder to write; it must not exist.')
