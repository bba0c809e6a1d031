"""Check the images and masks of a config (data check), or draw what the model sees of them (data show)."""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from seglight.config.part import build_part
from seglight.errors import DataError

if TYPE_CHECKING:
    from seglight.data import SegmentationDataModule


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('action', choices=['check', 'show'], help='What to do.')
    parser.add_argument(
        'settings',
        nargs=REMAINDER,
        help='--config or --ckpt, and --data. flags, as for fit; for show also --output, the picture (data.png), '
        'and --images, how many samples it has (12).',
    )


def run(arguments: Namespace) -> None:
    """Print the report, or write the picture."""
    from seglight.data import SegmentationDataModule  # late: it brings torch
    from seglight.data.sources.mmseg_datasets import with_class_names

    picture = ArgumentParser(add_help=False, allow_abbrev=False)
    if arguments.action == 'show':
        picture.add_argument('--output', type=Path, default=Path('data.png'))
        picture.add_argument('--images', type=int, default=12)
    own, settings = picture.parse_known_args(arguments.settings)
    if arguments.action == 'show':
        from seglight.data.sheet import check_request  # late: it brings matplotlib

        check_request(own.output, own.images)
    module = build_part(SegmentationDataModule, 'data', f'data {arguments.action}', settings, with_class_names)
    module.prepare_data()
    if arguments.action == 'check':
        check(module)
    else:
        show(module, own.output, own.images)


def check(module: SegmentationDataModule) -> None:
    """Print what each split holds and every fault.

    Raises:
        DataError: if there is a fault that would stop a run.
    """
    from seglight.data.checks import shared_images
    from seglight.data.report import describe, examine

    splits = module.samples('fit')
    faults = []
    for name, samples in splits.items():
        report = examine(module.dataset(name, samples), len(module.classes))
        print(describe(name, report, module.classes))
        faults += [f'{name}: {fault}' for fault in report.faults]
        absent = [each for each, images in zip(module.classes, report.images, strict=True) if not images]
        if absent:
            print(f'warning: no image of {name} shows {", ".join(absent)}')
    for line in shared_images(splits):
        print(f'warning: {line}')
    for fault in faults:
        print(f'fault: {fault}')
    if not faults:
        print('nothing is wrong')
    elif module.on_bad_sample == 'skip':
        print(f'{len(faults)} samples are left out, as data.on_bad_sample says')
    else:
        raise DataError(f'{len(faults)} samples cannot be used; mend them, or set data.on_bad_sample to skip')


def show(module: SegmentationDataModule, path: Path, count: int) -> None:
    """Write a contact sheet of augmented training samples and the frequencies of the classes."""
    from seglight.data.sheet import contact_sheet
    from seglight.files import write_atomically

    module.setup('fit')
    write_atomically(path, contact_sheet(module, count, path.suffix))
    print(path)
