"""Check the images and masks of a config (data check), or draw what the model sees of them (data show)."""

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
from seglight.data.checks import shared_images
from seglight.data.reading_notes import reading_notes
from seglight.data.report import describe, examine
from seglight.data.sheet import contact_sheet
from seglight.data.sources.mmseg_datasets import with_class_names
from seglight.errors import DataError, UsageError, collected_warnings, say
from seglight.files import write_atomically


def data_module(command: str, words: Sequence[str]) -> SegmentationDataModule:
    """Return the data that `fit` would train on.

    Args:
        command: the command's name, for errors.
        words: what was typed: `--config`, `--ckpt`, and flags that override keys of `data` or the seed.

    Raises:
        ConfigError: if nothing was given to build it from, or a key or value is wrong.
    """
    arguments = read_arguments([command, *words])
    parser = part_parser(SegmentationDataModule, 'data', command)
    checkpoint = arguments.value('--ckpt_path')
    if checkpoint is None and not arguments.configs:
        raise UsageError(f'{command} needs a config, such as --config demo.yaml, or a checkpoint, as --ckpt')
    base = Settings() if checkpoint is None else Checkpoint.find(checkpoint, mapped=True).settings
    kept = {'data', 'seed_everything'}
    settings = resolve(arguments, parser, base, lambda name: name not in kept, with_class_names)
    with with_origins(settings, arguments):
        config = parser.parse_args(arguments.argv()[1:])  # without the command
        if not isinstance(config.seed_everything, bool):
            config.data.seed = config.seed_everything
        built: SegmentationDataModule = parser.instantiate_classes(config).data
    return built


def check(module: SegmentationDataModule) -> None:
    """Print what each split holds and every fault.

    Raises:
        DataError: if there is a fault that would stop a run.
    """
    fatal: list[str] = []  # whatever data.on_bad_sample says
    faults = []
    facts = {}
    found: list[str] = []
    with collected_warnings() as of_sources:
        splits = module.samples('fit', fatal)
    for name, samples in splits.items():
        if not samples:
            continue
        report = examine(module.dataset(name, samples), len(module.classes))
        facts[name] = report.facts
        faults += [f'{name}: {fault}' for fault in report.faults]
        if not report.count:
            fatal.append(f'{name}: no sample can be used')
            continue
        say(describe(name, report, module.classes))
        notes = reading_notes(samples, module.value_range, module.classes)
        for line in notes.lines:
            say(f'  {line}')
        found += [f'{name}: {warning}' for warning in notes.warnings]
    unused = (f'the mask {mask} has no image' for mask in module.unused_masks(splits))
    warnings = [*module.judgement(facts), *found, *of_sources, *unused, *shared_images(splits)]
    for line in warnings:
        say(f'warning: {line}')
    for fault in fatal + faults:
        say(f'fault: {fault}')
    conclude(fatal, faults, len(warnings), module.on_bad_sample == 'skip')


def conclude(fatal: Sequence[str], faults: Sequence[str], warnings: int, skip: bool) -> None:
    """Print what the faults mean for a run.

    Args:
        fatal: what is wrong with whole splits.
        faults: what is wrong with single samples.
        warnings: how many were printed.
        skip: whether samples that cannot be used are left out.

    Raises:
        DataError: if they would stop it.
    """
    if fatal:
        raise DataError(f'{counted(len([*fatal, *faults]), "fault")}; fix this first: {fatal[0]}')
    if not faults:
        say(f'every file can be used, {counted(warnings, "warning")} above' if warnings else 'nothing is wrong')
    elif skip:
        verb = 'is' if len(faults) == 1 else 'are'
        say(f'{counted(len(faults), "sample")} {verb} left out, as data.on_bad_sample says')
    else:
        count = counted(len(faults), 'sample')
        raise DataError(f'{count} cannot be used; fix them, or set data.on_bad_sample to skip')


def show(module: SegmentationDataModule, path: Path, count: int) -> None:
    """Write a contact sheet of augmented training samples and the frequencies of the classes.

    Raises:
        DataError: if it cannot be written.
    """
    module.setup('fit')
    sheet = contact_sheet(module, count, path.suffix)
    try:
        write_atomically(path, sheet)
    except OSError as error:
        raise DataError(f'{path} cannot be written: {error.strerror}; name another file in --output') from error
