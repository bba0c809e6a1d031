"""Print a script that completes this program's commands and options in a shell.

For bash: seglight completion bash > ~/.local/share/bash-completion/completions/seglight
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('shell', choices=['bash', 'zsh', 'tcsh'], help='The shell that will read the script.')


def run(arguments: Namespace) -> None:
    """Have jsonargparse print what shtab makes of all options."""
    os.environ['JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT'] = 'true'
    arguments.command_line([f'--print_completion=shtab-{arguments.shell}'])
