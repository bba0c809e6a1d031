"""Check the images and masks of a config (data check), or draw augmented samples (data show)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.arguments import read_arguments
from seglight.config.parser import part_parser, with_origins
from seglight.config.resolve import resolve
from seglight.config.settings import Settings
from seglight.counting import counted
from seglight.data import SegmentationDataModule
from seglight.data.reading_notes import reading_notes
from seglight.data.report import describe, examine
from seglight.data.shared_images import shared_images
from seglight.data.sheet import contact_sheet
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.errors import DataError, UsageError, collected_warnings, say
from seglight.files import write_atomically


def data_module(command: str, words: Sequence[str]) -> SegmentationDataModule:
    """Return the data module that `fit` would use.

    Args:
        command: the command's name, for errors.
        words: the arguments: `--config`, `--ckpt`, and flags that override keys of `data` or the seed.

    Raises:
        UsageError: if there is neither a config nor a checkpoint, or a key or value is wrong.
    """
    arguments = read_arguments([command, *words])
    parser = part_parser(SegmentationDataModule, 'data', command)
    checkpoint = arguments.value('--ckpt_path')
    if checkpoint is None and not arguments.configs:
        raise UsageError(f'{command} needs a config, such as --config demo.yaml, or a checkpoint (--ckpt)')
    base = Settings() if checkpoint is None else Checkpoint.find(checkpoint, mapped=True).settings
    kept = {'data', 'seed_everything'}
    settings = resolve(arguments, parser, base, lambda name: name not in kept, with_class_names)
    with with_origins(settings, arguments):
        config = parser.parse_args(arguments.argv()[1:])  # without the command
        if not isinstance(config.seed_everything, bool):
            config.data.seed = config.seed_everything
        built: SegmentationDataModule = parser.instantiate(config).data
    return built


def check(module: SegmentationDataModule) -> None:
    """Print the contents of each split and every fault.

    Raises:
        DataError: if a fault would stop a run.
    """
    fatal: list[str] = []  # regardless of data.on_bad_sample
    faults = []
    facts = {}
    note_warnings: list[str] = []
    with collected_warnings() as source_warnings:
        splits = module.samples('fit', fatal)
    for name, samples in splits.items():
        if not samples:
            continue
        report = examine(module.dataset(name, samples), len(module.classes))
        facts[name] = report.facts
        faults += [f'{name}: {fault}' for fault in report.faults]
        if not report.count:
            fatal.append(': '.join([f'{name}: no sample can be used', *report.faults[:1]]))
            continue
        say(describe(name, report, module.classes))
        notes = reading_notes(samples, module.value_range, module.classes)
        for line in notes.lines:
            say(f'  {line}')
        note_warnings += [f'{name}: {warning}' for warning in notes.warnings]
    unused = (f'the mask {mask} has no image' for mask in module.unused_masks(splits))
    warnings = [*module.judgement(facts), *note_warnings, *source_warnings, *unused, *shared_images(splits)]
    for line in warnings:
        say(f'warning: {line}')
    for fault in fatal + faults:
        say(f'fault: {fault}')
    conclude(fatal, faults, len(warnings), module.on_bad_sample == 'skip')


def conclude(fatal: Sequence[str], faults: Sequence[str], warnings: int, skip: bool) -> None:
    """Print whether a run can use the data.

    Args:
        fatal: faults of whole splits.
        faults: faults of single samples.
        warnings: the number of printed warnings.
        skip: whether unusable samples are skipped.

    Raises:
        DataError: if the faults would stop a run.
    """
    if fatal:
        raise DataError(f'{counted(len([*fatal, *faults]), "fault")}; fix this first: {fatal[0]}')
    if not faults:
        say(f'every file can be used, {counted(warnings, "warning")} above' if warnings else 'no faults found')
    elif skip:
        verb = 'is' if len(faults) == 1 else 'are'
        say(f'{counted(len(faults), "sample")} {verb} skipped (data.on_bad_sample: skip)')
    else:
        count = counted(len(faults), 'sample')
        raise DataError(f'{count} cannot be used; fix them, or set data.on_bad_sample to skip')


def show(module: SegmentationDataModule, path: Path, count: int) -> None:
    """Write a contact sheet of augmented training samples and the class frequencies.

    Raises:
        DataError: if it cannot be written.
    """
    module.setup('fit')
    sheet = contact_sheet(module, count, path.suffix)
    try:
        write_atomically(path, sheet)
    except OSError as error:
        raise DataError(f'{path} cannot be written: {error.strerror}; choose another --output') from error
