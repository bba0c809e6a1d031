"""The command for data: its arguments, and the functions that it calls."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from seglight.cli.commands import competition
from seglight.cli.commands.base import Parser
from seglight.errors import UsageError, say

ACTIONS = ('check', 'show', 'pack', 'labels')

#: What each writes by default.
_OUTPUTS = {'check': None, 'show': Path('data.png'), 'pack': Path('packed')}

MAX_SIZE = 1 << 20  #: of an archive of `data pack`, in MiB


def data(arguments: Namespace) -> None:
    """Check images and masks (check), draw samples (show), write archives (pack) or find wrong labels (labels).

    `check --duplicates` also looks for near-duplicates across train, val and test, and writes groups that keep them
    in one fold. `pack` writes images and masks into archives, for file systems on which many small files are slow.
    `labels` takes the folder of seglight folds: it ranks the images and regions whose labels the
    out-of-fold predictions contradict.

        seglight data check --config own.yaml --duplicates
        seglight data show --config own.yaml --output own.png
        seglight data labels folds1
        seglight data pack --config own.yaml --output packed
    """
    if arguments.action == 'labels':
        competition.labels(_words_of(arguments, competition.labels_arguments))
        return
    from seglight.tools.data import check, data_module, show

    options, settings = _options(arguments)
    module = data_module(f'data {arguments.action}', settings)
    module.prepare_data()
    if arguments.action == 'pack':
        from seglight.tools.pack import pack

        config = pack(module, options.output, options.size)
        say(f'use them with --config {config}, after your own --config')
        return
    if arguments.action == 'show':
        show(module, options.output, options.images)
        say(options.output)
        return
    check(module)
    if options.duplicates:
        from seglight.tools.duplicates import propose_groups

        propose_groups(module, options.output)


def data_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `data`."""
    parser.add_argument('action', choices=ACTIONS, metavar='|'.join(ACTIONS), help='What to do.')
    settings = parser.add_argument(
        'settings',
        nargs=REMAINDER,
        help='--config or --ckpt, and --data. flags, as for fit; check also takes --duplicates and --output, the file '
        'of groups (groups.csv); show also takes --output, the picture to write (data.png), and --images, the number '
        'of samples (12); pack also takes --output, the folder to write (packed), and --size, of an '
        'archive in MiB (1024); '
        'labels takes a folder of seglight folds and --images, the pictures of a page (24).',
    )
    settings.required = False  # some Python releases list it among the missing arguments


def _words_of(arguments: Namespace, add_arguments: Callable[[ArgumentParser], None]) -> Namespace:
    """Return the arguments of `data labels`.

    Raises:
        UsageError: if one is wrong.
    """
    parser = Parser(prog='seglight data labels', allow_abbrev=False)
    add_arguments(parser)
    return parser.parse_args(arguments.settings)


def _options(arguments: Namespace) -> tuple[Namespace, list[str]]:
    """Return the options of the action, and the remaining words.

    Raises:
        UsageError: if an option is wrong.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument('--output', type=Path, default=_OUTPUTS[arguments.action])
    if arguments.action == 'check':
        parser.add_argument('--duplicates', action='store_true')
    elif arguments.action == 'pack':
        parser.add_argument('--size', type=int, default=1024)
    else:
        parser.add_argument('--images', type=int, default=12)
    try:
        options, settings = parser.parse_known_args(arguments.settings)
    except ArgumentError as error:
        raise UsageError(f'data {arguments.action}: {error}') from error
    if arguments.action == 'check':
        _check_groups(options)
    elif arguments.action == 'pack':
        if not 1 <= options.size <= MAX_SIZE:
            raise UsageError(f'data pack: --size must be from 1 to {MAX_SIZE} MiB, got {options.size}')
    else:
        from seglight.data.sheet import check_request

        check_request(options.output, options.images)
    return options, settings


def _check_groups(options: Namespace) -> None:
    """Check the options of `data check`, and set the file of groups.

    Raises:
        UsageError: if the file is needless, or has a wrong suffix.
    """
    if options.output is not None and not options.duplicates:
        raise UsageError('data check: --output needs --duplicates')
    options.output = options.output or Path('groups.csv')
    if options.output.suffix != '.csv':
        raise UsageError(f"--output must end with .csv, got '{options.output}'")
