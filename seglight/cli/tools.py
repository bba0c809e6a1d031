"""The commands that need no trainer: what each takes, and the functions of `seglight.tools` that it calls.

A function is imported when its command runs, so that --help, and what needs no model, start without torch.
The first line of a command's docstring is its help in `seglight --help`; the whole is its description.
"""

from __future__ import annotations

import os
import textwrap
from argparse import REMAINDER, ArgumentError, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple, NoReturn

from seglight.console import labelled
from seglight.counting import counted
from seglight.errors import UsageError, say
from seglight.files import expand_home

#: The families of backbones that `convert` knows.
FAMILIES = ('beit', 'convnext', 'deit', 'mae', 'mit', 'resnet', 'stdc', 'swin', 'twins', 'vit', 'vitjax', 'timm')

_TRUST = 'Let the checkpoint, your own, name classes of any package.'
_CHECKPOINT = 'A path, or relative to work_dirs; the folder of a run means its best.'
_WEIGHTS = 'A number above zero for each; equal by default.'


def setup(arguments: Namespace) -> None:
    """Install mmcv, which pip cannot build, and print what is installed.

    mmcv is made from its pinned source, whose hash is checked, without compiler or nvcc. A compiled
    mmcv-full 1.7 that is installed already is used as it is and never touched.

        seglight setup                          on a machine with a network
        seglight setup --download wheels        there, to keep what another machine needs
        seglight setup --find-links wheels      on a machine without a network
    """
    from seglight.installation.mmcv_wheel import download
    from seglight.tools.setup import set_up

    if arguments.download:
        say(download(arguments.download, arguments.find_links))
        return
    for label, value in set_up(arguments.find_links).items():
        say(f'{label:10}{value}')


def _setup_arguments(parser: ArgumentParser) -> None:
    text = 'take every package from this folder; the network is not used'
    parser.add_argument('--find-links', metavar='FOLDER', help=text)
    text = 'only save the source of mmcv in this folder, for --find-links'
    parser.add_argument('--download', type=Path, metavar='FOLDER', help=text)


def data(arguments: Namespace) -> None:
    """Check the images and masks of a config (data check), or draw augmented samples (data show)."""
    from seglight.tools.data import check, data_module, show

    picture, settings = _picture(arguments)
    module = data_module(f'data {arguments.action}', settings)
    module.prepare_data()
    if arguments.action == 'check':
        check(module)
    else:
        show(module, picture.output, picture.images)
        say(picture.output)


def _data_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('action', choices=['check', 'show'], metavar='check|show', help='What to do.')
    settings = parser.add_argument(
        'settings',
        nargs=REMAINDER,
        help='--config or --ckpt, and --data. flags, as for fit; for show also --output, the picture (data.png), '
        'and --images, how many samples it has (12).',
    )
    settings.required = False  # some releases of Python name it among what is missing


def _picture(arguments: Namespace) -> tuple[Namespace, list[str]]:
    """Return what is asked of the picture, and the settings of the data.

    Raises:
        UsageError: if there can be no such picture.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    if arguments.action == 'check':
        return parser.parse_known_args(arguments.settings)
    from seglight.data.sheet import check_request

    parser.add_argument('--output', type=Path, default=Path('data.png'))
    parser.add_argument('--images', type=int, default=12)
    try:
        picture, settings = parser.parse_known_args(arguments.settings)
    except ArgumentError as error:
        raise UsageError(f'data show: {error}') from error
    check_request(picture.output, picture.images)
    return picture, settings


def zoo(arguments: Namespace) -> None:
    """List the models of mmsegmentation that --model.zoo takes.

    One line for each: its name, millions of parameters, the mIoU that mmsegmentation publishes for it in
    percent, and the address of its checkpoint.
    """
    from seglight.tools.zoo import find_models, table

    say('\n'.join(table(find_models(arguments.pattern))))


def _zoo_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('pattern', nargs='?', default='', help='Part of a name, or a pattern such as "*r50*ade20k".')


def info(arguments: Namespace) -> None:
    """Show the contents of a checkpoint without building its model."""
    from seglight.tools.info import inspect

    found = inspect(arguments.checkpoint)
    if arguments.config:
        say(found.config, end='')
        return
    rows = found.rows()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f'{name:<{width}}  {value}')
    say('config')
    say(textwrap.indent(found.config, '  '), end='')


def _info_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help=_CHECKPOINT)
    parser.add_argument('--config', action='store_true', help='Print the config alone, as YAML that --config takes.')


def report(arguments: Namespace) -> None:
    """Write a page that shows one run or compares several.

    Of one run, `report.html` in its folder: curves, classes, calibration, best and worst images, config.
    Of several, `compare_{names}.html` in the folder of the last: curves and classes side by side, and where
    the configs differ.
    """
    from seglight.tools.report import write_page

    say(labelled('Report', write_page(arguments.runs, arguments.images)))


def _report_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('runs', nargs='+', help='Folders of runs: paths, or relative to work_dirs.')
    text = 'Show images below this folder, too; the working folder and the embedded data set are always shown.'
    parser.add_argument('--images', action='append', default=[], type=Path, metavar='FOLDER', help=text)


def vote(arguments: Namespace) -> None:
    """Take a vote of submissions or folders of masks on each pixel.

    A pixel gets the class with the most weight; a tie goes to the tied class that the first of the inputs names.
    """
    from seglight.tools.vote import take_vote

    count = take_vote(arguments.inputs, arguments.output, arguments.weights)
    say(f'{counted(count, "image")} voted on in {arguments.output}')


def _vote_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('inputs', nargs='+', type=Path, help='CSV files of one competition, or folders of masks.')
    parser.add_argument('--weights', nargs='+', type=float, help=_WEIGHTS)
    parser.add_argument('--output', required=True, type=Path, help='CSV file or folder to write; it must not exist.')


def soup(arguments: Namespace) -> None:
    """Average the weights of checkpoints of one architecture.

    This is a model soup (arXiv:2203.05482). The statistics of BatchNorm belong to other weights than the averaged
    ones; they are estimated anew on the training data that the first checkpoint names.
    """
    from seglight.tools.soup import make_soup

    batches = make_soup(
        arguments.checkpoints,
        arguments.output,
        arguments.weights,
        root=arguments.root,
        batches=arguments.batches,
        trust_checkpoint=arguments.trust_checkpoint,
    )
    count = len(arguments.checkpoints)
    say(f'{arguments.output} averages {count} checkpoints; BatchNorm was estimated on {counted(batches, "batch")}')


def _soup_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoints', nargs='+', help='Two or more; a path, or relative to work_dirs.')
    parser.add_argument('--weights', nargs='+', type=float, help=_WEIGHTS)
    parser.add_argument('--output', required=True, type=Path, help='Checkpoint to write; it must not exist.')
    parser.add_argument('--root', help='Folder of the training data, where it has moved.')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='Let the checkpoints, your own, name classes of any package.'
    )
    parser.add_argument('--batches', type=int, default=200, help='Training batches to estimate BatchNorm on, at most.')


def convert(arguments: Namespace) -> None:
    """Turn a backbone's published weights into mmseg's.

    They are those of its authors or of timm. Beside a file's own folder, weights go to a cache that a config names
    as weights://NAME, for example model.segmentor.pretrained: weights://swin_tiny_patch4_window7_224.pth.
    """
    from seglight.tools.convert import convert_file, summary

    converted, path = convert_file(arguments.family, arguments.source, arguments.target)
    say('\n'.join(summary(converted, path, cached=arguments.target is None)))


def _convert_arguments(parser: ArgumentParser) -> None:
    text = f'{", ".join(FAMILIES)} (detects the family).'
    parser.add_argument('family', choices=FAMILIES, metavar='FAMILY', help=text)
    parser.add_argument('source', metavar='SRC', help='A path or an address: .pth, .safetensors or, of JAX, .npz.')
    text = 'A path, .pth or .safetensors; else weights://NAME.'
    parser.add_argument('target', metavar='DST', nargs='?', type=Path, help=text)


def export(arguments: Namespace) -> None:
    """Write a checkpoint in mmseg's form.

    Beside it goes its config. mmseg's init_segmentor takes both files, its inference_segmentor predicts the same
    masks, and its tools/test.py finds the images of the validation.
    """
    from seglight.tools.export import export_checkpoint

    for path in export_checkpoint(arguments.checkpoint, arguments.target, arguments.trust_checkpoint):
        say(path)


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help=_CHECKPOINT)
    text = 'The .pth file, by default {checkpoint}_mmseg.pth beside it.'
    parser.add_argument('target', nargs='?', type=Path, help=text)
    parser.add_argument('--trust-checkpoint', action='store_true', help=_TRUST)
    parser.add_argument('--format', choices=['mmseg'], default='mmseg', help='Whose form; mmseg is the only one.')


def completion(arguments: Namespace) -> None:
    """Print a script that completes commands and options in a shell.

    For bash: seglight completion bash > ~/.local/share/bash-completion/completions/seglight
    """
    os.environ['JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT'] = 'true'
    arguments.command_line([f'--print_completion=shtab-{arguments.shell}'])  # what shtab makes of all options


def _completion_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('shell', choices=['bash', 'zsh', 'tcsh'], help='The shell that will read the script.')


class Command(NamedTuple):
    """A command: what runs it, and what adds its arguments to a parser."""

    run: Callable[[Namespace], None]
    add_arguments: Callable[[ArgumentParser], None]

    @property
    def description(self) -> str:
        """What `--help` says of it."""
        return cleandoc(self.run.__doc__ or '')

    @property
    def help(self) -> str:
        """What it does, in a sentence."""
        return self.description.splitlines()[0]


#: The commands by name, in the order of `seglight --help`.
COMMANDS = {
    'setup': Command(setup, _setup_arguments),
    'data': Command(data, _data_arguments),
    'zoo': Command(zoo, _zoo_arguments),
    'info': Command(info, _info_arguments),
    'report': Command(report, _report_arguments),
    'vote': Command(vote, _vote_arguments),
    'soup': Command(soup, _soup_arguments),
    'convert': Command(convert, _convert_arguments),
    'export': Command(export, _export_arguments),
    'completion': Command(completion, _completion_arguments),
}


class _Parser(ArgumentParser):
    """A parser whose errors are a user's errors, told in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the error in place of the usage text.

        Raises:
            UsageError: always.
        """
        raise UsageError(f'{self.prog.removeprefix("seglight ")}: {message} (--help shows more)')


def main(argv: Sequence[str], command_line: Callable[[Sequence[str]], object]) -> None:
    """Run one of `COMMANDS` with its arguments.

    Args:
        argv: the command's name and what follows it.
        command_line: runs the command line of the trainer, whose options `completion` lists.
    """
    name, *words = argv
    parser = _Parser(prog=f'seglight {name}', allow_abbrev=False)
    describe(name, parser)
    parsed = parser.parse_args([expand_home(word) for word in words], Namespace(command_line=command_line))
    COMMANDS[name].run(parsed)


def describe(name: str, parser: ArgumentParser) -> None:
    """Give a parser the arguments and the description of a command."""
    parser.description = COMMANDS[name].description
    parser.formatter_class = RawDescriptionHelpFormatter
    COMMANDS[name].add_arguments(parser)
