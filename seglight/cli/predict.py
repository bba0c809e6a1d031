"""The arguments that seglight adds to `predict`, its callbacks, and its summary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer

from seglight.callbacks import (
    CocoWriter,
    MaskWriter,
    OverlayWriter,
    PartDone,
    PredictedBy,
    PredictionSummary,
    PredictPart,
    ProbabilityWriter,
    PseudoLabelWriter,
    RunLengthWriter,
    SkipDone,
    SubmissionWriter,
    ZipWriter,
)
from seglight.callbacks.writers.submission import submission_path
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.cli.part_settings import changing_settings, part_settings
from seglight.counting import counted
from seglight.data.video import extract_frames, is_video
from seglight.errors import DataError, UsageError
from seglight.parts import PSEUDO, Part
from seglight.plain_text import read_text
from seglight.runtimes.opening import label
from seglight.submissions import MAX_LABELS
from seglight.trainer_callbacks import callbacks_of, find_callbacks

#: The writers of submissions by the values of `--submission-format`.
FORMATS: dict[str, type[SubmissionWriter]] = {'labels': SubmissionWriter, 'rle': RunLengthWriter, 'zip': ZipWriter}

#: Maximum number of failed images named in the last line.
NAMED = 20


def add_arguments(parser: Any) -> None:
    """Add the arguments of `predict` to a jsonargparse parser."""
    parser.add_argument(
        '--input',
        type=str | None,
        help='Images to predict instead of data.test: a folder, file, pattern, list, COCO JSON or video.',
    )
    text = (
        'Output folder, by default predictions/{checkpoint} in the run, with --input predictions/{checkpoint}_{input}.'
    )
    parser.add_argument('--output', type=str | None, help=text)
    text = 'Predict only this part of the images, "3 of 8" or 3/8, in its own folder below that; seglight join follows.'
    parser.add_argument('--part', type=str | None, help=text)
    parser.add_argument('--overlays', action='store_true', help='Also write colour overlays.')
    parser.add_argument('--probabilities', type=str | None, help='Also write class probabilities: float16 or uint8.')
    parser.add_argument('--coco', action='store_true', help='Also write predictions.json, COCO with RLE.')
    parser.add_argument(
        '--mask_labels',
        type=int | list[int] | None,
        help='The mask value of each class, or of the first class; by default the values start at 0.',
    )
    parser.add_argument(
        '--submission', action='store_true', help='Also write {checkpoint}.csv, to --output or next to the checkpoint.'
    )
    parser.add_argument('--remark', type=str | None, help='Name the submission {checkpoint}_{remark}.csv.')
    parser.add_argument(
        '--submission_format',
        type=str,
        default='labels',
        help='labels of all pixels, rle (run lengths, column-major from 1), or zip (of PNG).',
    )
    parser.add_argument(
        '--submission_size',
        type=int | list[int] | None,
        default=[256, 256],
        help='Height and width of the masks in the submission, or one number for both; null keeps that of the images.',
    )
    parser.add_argument(
        '--pseudo_labels',
        type=float | dict[str, float] | None,
        help='Also write masks to train on; pixels below this confidence, or that of their class, are ignored.',
    )
    parser.add_argument(
        '--pseudo_weight', type=float, default=1.0, help='How often each pseudo label occurs in an epoch, on average.'
    )
    parser.add_argument('--resume', action='store_true', help='Predict only the images that an interrupted run left.')


def input_source(path: Path, folder: Path) -> dict[str, str]:
    """Return the value of `data.test` for an `--input`; extract the frames of a video to the output folder.

    Raises:
        DataError: if a video cannot be read.
    """
    if is_video(path):
        path = extract_frames(path, folder / 'frames')
    return {'type': 'ImageSource', 'path': str(path.absolute())}


def output_folder(config: Any) -> Path:
    """Return the folder for predictions; that of a part is below it.

    Raises:
        UsageError: if `--part` is not a part.
    """
    folder = Path(config.output or default_folder(Path(config.ensemble or config.ckpt_path), config.input))
    return folder / Part.parse(config.part).folder if config.part is not None else folder


def default_folder(checkpoint: Path, given: str | None) -> Path:
    """Return `predictions/{checkpoint}` in the run, or `predictions/{checkpoint}_{input}` if an input is given."""
    name = label(checkpoint)
    if given:
        name += '_' + (re.sub(r'\W+', '_', Path(given).stem).strip('_') or 'input')
    return checkpoint.parent / 'predictions' / name


def prediction_callbacks(
    config: Any, checkpoints: Sequence[Checkpoint], folder: Path, settings: dict[str, Any]
) -> list[Callback]:
    """Return the callbacks that the arguments of `predict` request.

    Args:
        config: the values of the arguments.
        checkpoints: all of them.
        folder: the output folder.
        settings: all resolved settings, without secrets.

    Raises:
        UsageError: for an invalid value.
    """
    checkpoint, facts = checkpoints[0], _facts(config, checkpoints, settings)
    part = None
    if config.part is not None:
        part = PredictPart(folder, Part.parse(config.part), part_settings(settings, facts), config.resume)
    callbacks: list[Callback] = [
        PredictedBy(folder, facts, config.resume),
        *([part] if part else []),
        MaskWriter(folder / 'masks', labels=config.mask_labels),
    ]
    if config.overlays:
        callbacks.append(OverlayWriter(folder / 'overlays'))
    if config.probabilities is not None:
        if config.probabilities not in ('float16', 'uint8'):
            raise UsageError(f"--probabilities must be float16 or uint8, got '{config.probabilities}'")
        callbacks.append(ProbabilityWriter(folder / 'probabilities', quantize=config.probabilities == 'uint8'))
    if config.coco:
        callbacks.append(CocoWriter(folder / 'predictions.json', config.resume, overwrite=True))
    if _has_submission(config):
        callbacks.append(_submission_writer(config, checkpoint, folder))
    if config.pseudo_labels is not None:
        pseudo = folder / PSEUDO
        callbacks.append(PseudoLabelWriter(pseudo, config.pseudo_labels, config.pseudo_weight, config.data.train))
    callbacks.append(PredictionSummary(folder))
    if config.resume:
        callbacks.append(SkipDone())
    if part:
        callbacks.append(PartDone(part))
    return callbacks


def _has_submission(config: Any) -> bool:
    """Return whether the arguments request a submission; a name for it does, too."""
    return bool(config.submission) or config.remark is not None


def _submission_writer(config: Any, checkpoint: Checkpoint, folder: Path) -> SubmissionWriter:
    """Return the writer of the submission.

    Raises:
        UsageError: for an unknown format, an invalid size, or numbers of classes in a format that has none.
    """
    writer = FORMATS.get(config.submission_format)
    if writer is None:
        raise UsageError(f"--submission-format must be {', '.join(FORMATS)}, got '{config.submission_format}'")
    size = _submission_size(config.submission_size)
    named = Path(config.ensemble) if config.ensemble else checkpoint.path
    suffix = '.zip' if writer is ZipWriter else '.csv'
    path = submission_path(named, config.remark, folder if config.output or config.part else None, suffix)
    if writer is ZipWriter:
        return ZipWriter(path, size, config.resume, config.mask_labels)
    if config.mask_labels is not None:
        raise UsageError(
            f'--mask-labels does not apply to --submission-format {config.submission_format}, which numbers classes '
            'from 0; choose zip, or write the masks in a run without --submission'
        )
    return writer(path, size, config.resume)


def _submission_size(given: int | list[int] | None) -> tuple[int, int] | None:
    """Return height and width of the masks in the submission, None for those of the images.

    Raises:
        UsageError: for anything but one or two sizes, or more pixels than a row may have.
    """
    if given is None:
        return None
    sizes = [given] if isinstance(given, int) else given
    if len(sizes) not in (1, 2) or min(sizes) < 1:
        raise UsageError(f'--submission-size must be 512, or height and width as in 256 384, got {given}')
    height, width = sizes[0], sizes[-1]
    if height * width > MAX_LABELS:
        raise UsageError(f'--submission-size must be at most {MAX_LABELS} pixels, got {given}')
    return height, width


def _facts(config: Any, checkpoints: Sequence[Checkpoint], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what identifies the predictions of a run: the checkpoints, and options and settings that affect them."""
    first, *more = [checkpoint.fingerprint for checkpoint in checkpoints]
    has_submission, size = _has_submission(config), _submission_size(config.submission_size)
    return {
        'checkpoint': first,
        'more_checkpoints': more or None,
        'ensemble': read_text(Path(config.ensemble)) if config.ensemble else None,
        'aug_test': bool(config.aug_test),
        'ckpt_weights': config.ckpt_weights,
        'input': config.input,
        'probabilities': config.probabilities,
        'submission_size': (list(size) if size else 'of each image') if has_submission else None,
        'submission_format': config.submission_format if has_submission else None,
        'mask_labels': config.mask_labels,
        'pseudo_labels': config.pseudo_labels,
        **changing_settings(settings),
    }


def summary(trainer: Trainer, classes: list[str], folder: Path) -> list[str]:
    """Return the last lines of a prediction run."""
    summaries = find_callbacks(trainer, PredictionSummary)
    lines = [line for each in summaries for line in each.lines(classes)]
    count = sum(each.count for each in summaries)
    for callback in callbacks_of(trainer):
        if isinstance(callback, MaskWriter):
            lines.append(f'{counted(count, "mask")} in {callback.folder}')
        elif isinstance(callback, SubmissionWriter):
            lines.append(f'Submission {callback.path}')
    return [*lines, f'All files are in {folder}']


def check_failed(trainer: Trainer) -> None:
    """Raise an error that names the images that failed; the cause of each is already printed.

    Raises:
        DataError: if any image failed.
    """
    failed = [failure.path for each in find_callbacks(trainer, PredictionSummary) for failure in each.failed]
    if failed:
        more = f' and {len(failed) - NAMED} more' if len(failed) > NAMED else ''
        names = f'{", ".join(failed[:NAMED])}{more}'
        raise DataError(f'{counted(len(failed), "image")} could not be predicted; all others are done: {names}')
