"""The commands about what is installed: their arguments, and the functions that they call."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from seglight.config.catalogue import LIBRARIES
from seglight.console import labelled
from seglight.errors import say


def setup(arguments: Namespace) -> None:
    """Install mmcv, which pip cannot build, and print the installed versions.

    The wheel is made from mmcv's pinned source, whose hash is checked, without a compiler or nvcc. A compiled
    mmcv-full 1.7 that is already installed is used and never changed.

        seglight setup                          on a machine with a network
        seglight setup --download wheels        there, to save the files for another machine
        seglight setup --find-links wheels      on a machine without a network
    """
    from seglight.installation.mmcv_wheel import download
    from seglight.tools.setup import set_up

    if arguments.download:
        say(download(arguments.download, arguments.find_links))
        return
    for label, value in set_up(arguments.find_links).items():
        say(labelled(label, value))


def setup_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `setup`."""
    text = 'Take every package from this folder, without using the network.'
    parser.add_argument('--find-links', metavar='FOLDER', help=text)
    text = 'Only save the source of mmcv in this folder, for --find-links.'
    parser.add_argument('--download', type=Path, metavar='FOLDER', help=text)


def zoo(arguments: Namespace) -> None:
    """List the models that a config can name: mmsegmentation's, and those of timm, transformers and smp.

    Each table is headed by the key that takes the names of its first column. A line shows the parameters in millions,
    the published mIoU in percent, the licence of the weights if its publisher states one, and where they come from.
    """
    from seglight.tools.zoo import find_models, tables

    libraries = [arguments.library] if arguments.library else tuple(LIBRARIES)
    say('\n'.join(tables(find_models(arguments.pattern, libraries))))


def zoo_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `zoo`."""
    parser.add_argument('pattern', nargs='?', default='', help='Part of a name, or a pattern such as "*r50*ade20k".')
    parser.add_argument('--library', choices=tuple(LIBRARIES), help='List only the models of this library.')


def completion(arguments: Namespace) -> None:
    """Print a shell script that completes commands and options.

    To install it for bash: seglight completion bash > ~/.local/share/bash-completion/completions/seglight
    """
    os.environ['JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT'] = 'true'
    arguments.command_line([f'--print_completion=shtab-{arguments.shell}'])  # shtab's script for all options


def completion_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `completion`."""
    parser.add_argument('shell', choices=['bash', 'zsh', 'tcsh'], help='The shell to write the script for.')
