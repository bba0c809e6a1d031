"""The commands for checkpoints and weights: their arguments, and the functions of `seglight.tools` that they call."""

from __future__ import annotations

import textwrap
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglight.cli.commands.base import CHECKPOINT, TRUST, WEIGHTS
from seglight.console import aligned, labelled
from seglight.counting import counted
from seglight.environment import describe as describe_environment
from seglight.errors import UsageError, say

if TYPE_CHECKING:
    from seglight.runtimes.metadata import Metadata

#: The families of backbones that `convert` knows.
FAMILIES = ('beit', 'convnext', 'deit', 'mae', 'mit', 'resnet', 'stdc', 'swin', 'twins', 'vit', 'vitjax', 'timm')

#: Options of `export` for the formats that are whole models, with their defaults.
_OF_MODELS: dict[str, Any] = {
    'size': None,
    'output_kind': 'logits',
    'half': False,
    'int8': False,
    'allow_differences': False,
    'root': None,
}


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
    say('\n'.join(aligned(contents.rows(), right=())))
    say('config')
    say(textwrap.indent(contents.config, '  '), end='')


def info_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `info`."""
    parser.add_argument('checkpoint', nargs='?', help=CHECKPOINT)
    parser.add_argument('--config', action='store_true', help='Print only the config, as YAML for fit --config.')


def soup(arguments: Namespace) -> None:
    """Average the weights of checkpoints of one architecture.

    This is a model soup (arXiv:2203.05482). BatchNorm's running statistics do not match averaged weights, so those
    that training changes are re-estimated on the training data in the first checkpoint's config.
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
    estimated = f'; BatchNorm was estimated on {counted(batches, "batch")}' if batches else ''
    say(f'{arguments.output} averages {count} checkpoints{estimated}')


def soup_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `soup`."""
    parser.add_argument('checkpoints', nargs='+', help='Two or more checkpoints: paths, or relative to work_dirs.')
    parser.add_argument('--weights', nargs='+', type=float, help=WEIGHTS)
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


def convert_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `convert`."""
    text = f'{", ".join(FAMILIES)} (detects the family).'
    parser.add_argument('family', choices=FAMILIES, metavar='FAMILY', help=text)
    parser.add_argument('source', metavar='SRC', help="A path or a URL: .pth, .safetensors, or JAX's .npz.")
    text = 'A .pth or .safetensors file; default weights://NAME.'
    parser.add_argument('target', metavar='DST', nargs='?', type=Path, help=text)


def export(arguments: Namespace) -> None:
    """Write a checkpoint in the format of another program, and prove that it predicts the same masks.

    `onnx`, `torch` (torch.export) and `openvino` are whole models: uint8 RGB images [B, 3, H, W] of any size in, logits
    or masks of that size out. The file is run and compared with the checkpoint, on random images and on validation
    images of the run; it is kept only if at least 99.99 % of the pixels have the same class (99.9 % with --half and
    --int8). `predict`, `validate` and `test` take it as --ckpt.

    `mmseg` writes a checkpoint and its config: mmseg's init_segmentor loads both files, its inference_segmentor
    predicts the same masks, and its tools/test.py finds the validation images. `safetensors` holds the weights and the
    settings.
    """
    from seglight.runtimes.opening import SUFFIXES
    from seglight.tools.export import chosen_format, export_checkpoint, export_plain

    chosen = chosen_format(arguments.format, arguments.target)
    name, target, trust = arguments.checkpoint, arguments.target, arguments.trust_checkpoint
    if chosen in SUFFIXES:
        from seglight.exporting.export import export_model  # late: it needs the model
        from seglight.exporting.wanted import Wanted, as_size

        wanted = Wanted(
            chosen, as_size(arguments.size), arguments.output_kind, arguments.half, arguments.int8,
            arguments.allow_differences,
        )  # fmt: skip
        _print_exported(*export_model(name, wanted, target, arguments.root, trust))
        return
    for option, default in _OF_MODELS.items():
        if getattr(arguments, option) != default:
            flag = option.replace('_', '-')
            raise UsageError(f'export: --{flag} needs --format {", ".join(SUFFIXES)}, got {chosen}')
    if chosen == 'safetensors':
        say(export_plain(name, target, trust))
        return
    for path in export_checkpoint(name, target, trust):
        say(path)


def _print_exported(path: Path, metadata: Metadata) -> None:
    """Print what was written and proved."""
    from seglight.runtimes.opening import files

    size = sum(each.stat().st_size for each in files(path)) / 1e6
    say(labelled('Exported', f'{path} ({size:.1f} MB)'))
    proof = metadata.proof
    assert proof is not None
    for kind, each in proof.comparisons().items():
        difference = '' if each.difference is None else f', logits differ by up to {each.difference:.2g}'
        say(labelled('Proof', f'{each.text(kind)}{difference}'))
    if proof.miou is not None:
        before, after = (f'{100 * each:.2f} %' for each in proof.miou)
        say(labelled('mIoU', f'{after}, {before} before quantisation'))


def export_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `export`."""
    parser.add_argument('checkpoint', help=CHECKPOINT)
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
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST)


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


def benchmark_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `benchmark`."""
    parser.add_argument('files', nargs='+', help='Checkpoints, runs, and exported files.')
    text = 'Height and width of the images (512 512).'
    parser.add_argument('--size', nargs=2, type=int, default=[512, 512], metavar=('HEIGHT', 'WIDTH'), help=text)
    parser.add_argument('--batch-size', type=int, default=1, help='Images that are predicted together (1).')
    parser.add_argument('--rounds', type=int, default=20, help='Measured predictions of each file (20).')
    parser.add_argument('--warmup', type=int, default=3, help='Predictions of each file before them (3).')
    parser.add_argument('--threads', type=int, help='Threads on the CPU; as many as torch takes by default.')
    parser.add_argument('--device', help='For example cuda:1 or cpu; by default a GPU if there is one.')
    parser.add_argument('--trust-checkpoint', action='store_true', help=TRUST)
