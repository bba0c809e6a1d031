"""The commands that need no trainer: their arguments, and the functions of `seglight.tools` that they call.

Each function is imported when its command runs, so that --help, and commands without a model, start without torch.
The first line of a command's docstring is its help in `seglight --help`; the docstring is its description.
"""

from __future__ import annotations

import os
import textwrap
from argparse import REMAINDER, SUPPRESS, ArgumentError, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple, NoReturn

from seglight.cli import competition, planning
from seglight.cli.help import HELP_ALL, WORDS, page_of, show
from seglight.config.catalogue import LIBRARIES
from seglight.console import labelled
from seglight.counting import counted
from seglight.environment import describe as describe_environment
from seglight.errors import UsageError, say
from seglight.files import expand_home

#: The families of backbones that `convert` knows.
FAMILIES = ('beit', 'convnext', 'deit', 'mae', 'mit', 'resnet', 'stdc', 'swin', 'twins', 'vit', 'vitjax', 'timm')

_TRUST = 'Allow your own checkpoint to name classes of any package.'
_CHECKPOINT = 'A path, or relative to work_dirs; the folder of a run means its best checkpoint.'
_WEIGHTS = 'A positive number for each; equal by default.'


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


def _setup_arguments(parser: ArgumentParser) -> None:
    text = 'Take every package from this folder, without using the network.'
    parser.add_argument('--find-links', metavar='FOLDER', help=text)
    text = 'Only save the source of mmcv in this folder, for --find-links.'
    parser.add_argument('--download', type=Path, metavar='FOLDER', help=text)


def data(arguments: Namespace) -> None:
    """Check images and masks (data check), draw augmented samples (data show), or find wrong labels (data labels).

    `check --duplicates` also looks for near-duplicates across train, val and test, and writes groups that keep them
    in one fold. `labels` takes the folder of seglight folds: it ranks the images and regions whose labels the
    out-of-fold predictions contradict.

        seglight data check --config own.yaml --duplicates
        seglight data show --config own.yaml --output own.png
        seglight data labels folds1
    """
    if arguments.action == 'labels':
        competition.labels(_words_of(arguments, competition.labels_arguments))
        return
    from seglight.tools.data import check, data_module, show

    options, settings = _options(arguments)
    module = data_module(f'data {arguments.action}', settings)
    module.prepare_data()
    if arguments.action == 'show':
        show(module, options.output, options.images)
        say(options.output)
        return
    check(module)
    if options.duplicates:
        from seglight.tools.duplicates import propose_groups

        propose_groups(module, options.output)


def _data_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('action', choices=['check', 'show', 'labels'], metavar='check|show|labels', help='What to do.')
    settings = parser.add_argument(
        'settings',
        nargs=REMAINDER,
        help='--config or --ckpt, and --data. flags, as for fit; check also takes --duplicates and --output, the file '
        'of groups (groups.csv); show also takes --output, the picture to write (data.png), and --images, the number '
        'of samples (12); labels takes a folder of seglight folds and --images, the pictures of a page (24).',
    )
    settings.required = False  # some Python releases list it among the missing arguments


def _words_of(arguments: Namespace, add_arguments: Callable[[ArgumentParser], None]) -> Namespace:
    """Return the arguments of `data labels`.

    Raises:
        UsageError: if one is wrong.
    """
    parser = _Parser(prog='seglight data labels', allow_abbrev=False)
    add_arguments(parser)
    return parser.parse_args(arguments.settings)


def _options(arguments: Namespace) -> tuple[Namespace, list[str]]:
    """Return the options of the action, and the remaining words.

    Raises:
        UsageError: if an option is wrong.
    """
    parser = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    checks = arguments.action == 'check'
    parser.add_argument('--output', type=Path, default=None if checks else Path('data.png'))
    if checks:
        parser.add_argument('--duplicates', action='store_true')
    else:
        parser.add_argument('--images', type=int, default=12)
    try:
        options, settings = parser.parse_known_args(arguments.settings)
    except ArgumentError as error:
        raise UsageError(f'data {arguments.action}: {error}') from error
    if checks:
        _check_groups(options)
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


def zoo(arguments: Namespace) -> None:
    """List the models that a config can name: mmsegmentation's, and those of timm, transformers and smp.

    Each table is headed by the key that takes the names of its first column. A line shows the parameters in millions,
    the published mIoU in percent, the licence of the weights if its publisher states one, and where they come from.
    """
    from seglight.tools.zoo import find_models, tables

    libraries = [arguments.library] if arguments.library else tuple(LIBRARIES)
    say('\n'.join(tables(find_models(arguments.pattern, libraries))))


def _zoo_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('pattern', nargs='?', default='', help='Part of a name, or a pattern such as "*r50*ade20k".')
    parser.add_argument('--library', choices=tuple(LIBRARIES), help='List only the models of this library.')


def info(arguments: Namespace) -> None:
    """Show the contents of a checkpoint without building its model; without one, the installed versions."""
    if arguments.checkpoint is None:
        if arguments.config:
            raise UsageError('info: --config needs a checkpoint')
        say(describe_environment(['seglight', 'info']), end='')
        return
    from seglight.tools.info import inspect

    contents = inspect(arguments.checkpoint)
    if arguments.config:
        say(contents.config, end='')
        return
    rows = contents.rows()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f'{name:<{width}}  {value}')
    say('config')
    say(textwrap.indent(contents.config, '  '), end='')


def _info_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', nargs='?', help=_CHECKPOINT)
    parser.add_argument('--config', action='store_true', help='Print only the config, as YAML for fit --config.')


def report(arguments: Namespace) -> None:
    """Write an HTML page that reports one run or compares several.

    For one run, `report.html` in its folder: curves, classes, calibration, best and worst images, config.
    For several, `compare_{names}.html` in the folder of the last: curves and classes side by side, and the
    differences between the configs.
    """
    from seglight.tools.report import write_page

    say(labelled('Report', write_page(arguments.runs, arguments.images)))


def _report_arguments(parser: ArgumentParser) -> None:
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


def _vote_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('inputs', nargs='+', type=Path, help='CSV files of one competition, or folders of masks.')
    parser.add_argument('--weights', nargs='+', type=float, help=_WEIGHTS)
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


def _join_arguments(parser: ArgumentParser) -> None:
    text = 'Folders that predict --part wrote, or folders that contain them.'
    parser.add_argument('folders', nargs='+', type=Path, help=text)
    parser.add_argument('--output', required=True, type=Path, help='The folder to write; it must not exist.')


def soup(arguments: Namespace) -> None:
    """Average the weights of checkpoints of one architecture.

    This is a model soup (arXiv:2203.05482). BatchNorm's running statistics do not match averaged weights, so they
    are re-estimated on the training data in the first checkpoint's config.
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
    parser.add_argument('checkpoints', nargs='+', help='Two or more checkpoints: paths, or relative to work_dirs.')
    parser.add_argument('--weights', nargs='+', type=float, help=_WEIGHTS)
    parser.add_argument('--output', required=True, type=Path, help='The checkpoint to write; it must not exist.')
    parser.add_argument('--root', help='Folder of the training data, if it has moved.')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='Allow your own checkpoints to name classes of any package.'
    )
    parser.add_argument('--batches', type=int, default=200, help='Maximum of training batches for BatchNorm.')


def convert(arguments: Namespace) -> None:
    """Convert a backbone's published weights to mmseg's keys.

    The weights may be published by the authors or by timm. Without DST, they go to a cache, which configs refer to
    as weights://NAME, for example model.segmentor.pretrained: weights://swin_tiny_patch4_window7_224.pth.
    """
    from seglight.tools.convert import convert_file, summary

    converted, path = convert_file(arguments.family, arguments.source, arguments.target)
    say('\n'.join(summary(converted, path, cached=arguments.target is None)))


def _convert_arguments(parser: ArgumentParser) -> None:
    text = f'{", ".join(FAMILIES)} (detects the family).'
    parser.add_argument('family', choices=FAMILIES, metavar='FAMILY', help=text)
    parser.add_argument('source', metavar='SRC', help="A path or a URL: .pth, .safetensors, or JAX's .npz.")
    text = 'A .pth or .safetensors file; default weights://NAME.'
    parser.add_argument('target', metavar='DST', nargs='?', type=Path, help=text)


def export(arguments: Namespace) -> None:
    """Write a checkpoint in the format of another program, and prove that it predicts the same masks.

    `onnx`, `torch` (torch.export) and `openvino` are whole models: uint8 RGB images [B, 3, H, W] of any size in, logits
    or masks of that size out. The file is run and compared with the checkpoint, on random images and on validation
    images of the run; it is kept only if the masks are the same. `predict`, `validate` and `test` take it as --ckpt.

    `mmseg` writes a checkpoint and its config: mmseg's init_segmentor loads both files, its inference_segmentor
    predicts the same masks, and its tools/test.py finds the validation images. `safetensors` holds the weights and the
    settings.
    """
    from seglight.tools.export import run

    run(arguments)


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('checkpoint', help=_CHECKPOINT)
    text = 'The file to write; by default next to the checkpoint, {checkpoint}_mmseg.pth for mmseg.'
    parser.add_argument('target', nargs='?', type=Path, help=text)
    text = 'By default that of the suffix of TARGET, else mmseg.'
    parser.add_argument('--format', choices=['mmseg', 'safetensors', 'onnx', 'torch', 'openvino'], help=text)
    text = 'Height and width of the only images that the file takes; by default it takes any.'
    parser.add_argument('--size', nargs=2, type=int, metavar=('HEIGHT', 'WIDTH'), help=text)
    text = 'Logits, float32 [B, C, H, W], or masks, uint8 [B, H, W].'
    parser.add_argument('--output-kind', choices=['logits', 'mask'], default='logits', help=text)
    parser.add_argument('--half', action='store_true', help='Compute in float16, for GPUs.')
    text = 'Quantise to 8 bits, calibrated on validation images of the run; prints what it costs.'
    parser.add_argument('--int8', action='store_true', help=text)
    text = 'Keep the file even if its masks differ from those of the checkpoint.'
    parser.add_argument('--allow-differences', action='store_true', help=text)
    parser.add_argument('--root', type=Path, help="Folder of the run's data, if it has moved.")
    parser.add_argument('--trust-checkpoint', action='store_true', help=_TRUST)


def benchmark(arguments: Namespace) -> None:
    """Compare the speed and memory of checkpoints and exported files.

    Each predicts the same noise, from pixels to masks, in a process of its own; they take turns, so that all meet the
    same machine. The table has the median and the 95th percentile of the time for a batch, the peak of memory (of the
    process, or of tensors on a GPU), and for checkpoints the parameters and the operations for an image.
    """
    from seglight.tools.benchmark import Plan, measure, table

    size = (arguments.size[0], arguments.size[1])
    plan = Plan(
        size, arguments.batch_size, arguments.rounds, arguments.warmup, arguments.threads, arguments.device,
        arguments.trust_checkpoint,
    )  # fmt: skip
    say('\n'.join(table(measure(arguments.files, plan), plan.batch_size)))


def _benchmark_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('files', nargs='+', help='Checkpoints, runs, and exported files.')
    text = 'Height and width of the images (512 512).'
    parser.add_argument('--size', nargs=2, type=int, default=[512, 512], metavar=('HEIGHT', 'WIDTH'), help=text)
    parser.add_argument('--batch-size', type=int, default=1, help='Images that are predicted together (1).')
    parser.add_argument('--rounds', type=int, default=20, help='Measured predictions of each file (20).')
    parser.add_argument('--warmup', type=int, default=3, help='Predictions of each file before them (3).')
    parser.add_argument('--threads', type=int, help='Threads on the CPU; as many as torch takes by default.')
    parser.add_argument('--device', help='For example cuda:1 or cpu; by default a GPU if there is one.')
    parser.add_argument('--trust-checkpoint', action='store_true', help=_TRUST)


def completion(arguments: Namespace) -> None:
    """Print a shell script that completes commands and options.

    To install it for bash: seglight completion bash > ~/.local/share/bash-completion/completions/seglight
    """
    os.environ['JSONARGPARSE_ADD_PRINT_COMPLETION_ARGUMENT'] = 'true'
    arguments.command_line([f'--print_completion=shtab-{arguments.shell}'])  # shtab's script for all options


def _completion_arguments(parser: ArgumentParser) -> None:
    parser.add_argument('shell', choices=['bash', 'zsh', 'tcsh'], help='The shell to write the script for.')


class Command(NamedTuple):
    """A command: what runs it, what adds its arguments to a parser, and whether it passes further words on to `fit`."""

    run: Callable[[Namespace], None]
    add_arguments: Callable[[ArgumentParser], None]
    passes_flags: bool = False

    @property
    def description(self) -> str:
        """The description in its `--help`."""
        return cleandoc(self.run.__doc__ or '')

    @property
    def help(self) -> str:
        """Its line in `seglight --help`."""
        return self.description.splitlines()[0]


#: The commands by name, in the order of `seglight --help`.
COMMANDS = {
    'setup': Command(setup, _setup_arguments),
    'data': Command(data, _data_arguments),
    'zoo': Command(zoo, _zoo_arguments),
    'info': Command(info, _info_arguments),
    'report': Command(report, _report_arguments),
    'plan': Command(planning.plan, planning.plan_arguments),
    'sweep': Command(planning.sweep, planning.sweep_arguments, passes_flags=True),
    'folds': Command(competition.folds, competition.folds_arguments, passes_flags=True),
    'ensemble': Command(competition.ensemble, competition.ensemble_arguments),
    'vote': Command(vote, _vote_arguments),
    'join': Command(join, _join_arguments),
    'soup': Command(soup, _soup_arguments),
    'convert': Command(convert, _convert_arguments),
    'export': Command(export, _export_arguments),
    'benchmark': Command(benchmark, _benchmark_arguments),
    'completion': Command(completion, _completion_arguments),
}


class _Parser(ArgumentParser):
    """A parser that reports errors as one line."""

    def error(self, message: str) -> NoReturn:
        """Raise the error instead of printing the usage.

        Raises:
            UsageError: always.
        """
        raise UsageError(f'{self.prog.removeprefix("seglight ")}: {message} (--help shows more)')


def main(argv: Sequence[str], command_line: Callable[[Sequence[str]], object]) -> None:
    """Run one of `COMMANDS` with its arguments.

    Args:
        argv: the command's name and its arguments.
        command_line: runs the trainer's command line, whose options `completion` lists.
    """
    name, *words = argv
    if '' in words and name != 'zoo':  # whose pattern may be empty
        raise UsageError(f'{name}: an argument is empty, perhaps from an unset variable of the shell')
    parser = _Parser(prog=f'seglight {name}', allow_abbrev=False)
    describe(name, parser)
    asking = words[:1] if name == 'data' else words  # the settings of `data` have a help of their own
    if any(word in WORDS for word in asking):
        show(page_of(name, parser), name)
        return
    parsed, flags = parser.parse_known_args([expand_home(word) for word in words], Namespace(command_line=command_line))
    if flags and not COMMANDS[name].passes_flags:
        parser.error(f'unrecognized arguments: {" ".join(flags)}')
    parsed.flags = flags
    COMMANDS[name].run(parsed)


def describe(name: str, parser: ArgumentParser) -> None:
    """Add the arguments and the description of a command to a parser."""
    parser.description = COMMANDS[name].description
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument('--help-all', action='help', default=SUPPRESS, help=HELP_ALL)
    COMMANDS[name].add_arguments(parser)
    if not COMMANDS[name].passes_flags:  # otherwise it is one of `fit`; the border looks for it in the command line
        parser.add_argument('--debug', action='store_true', help='Print the traceback of an error.')
