"""Export a checkpoint for another runtime, and keep the file only if it predicts the same masks."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

from seglight.batch import collate
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.counting import counted, percent
from seglight.errors import UsageError, warn
from seglight.exporting import proof as proving
from seglight.exporting.formats.quantising import quantised
from seglight.exporting.formats.to_onnx import to_onnx
from seglight.exporting.formats.to_openvino import to_openvino
from seglight.exporting.formats.to_program import Program
from seglight.exporting.graph import Graph
from seglight.exporting.images import Items
from seglight.exporting.program import program_of
from seglight.exporting.settings import metadata_of, windows_of
from seglight.exporting.sizes import Padding, padding_of
from seglight.exporting.wanted import Wanted, check, check_size, target_of
from seglight.files import writing_to
from seglight.models.segmentor import Segmentor
from seglight.runtimes.metadata import Metadata, Proof
from seglight.runtimes.opening import files, open_exported

#: Validation images that the proof, the calibration, and the mIoU of a quantised file use at most.
PROVED, CALIBRATED, SCORED = 16, 32, 100


class Saves(Protocol):
    """A model that is ready to be written."""

    def save(self, path: Path, metadata: Metadata) -> None:
        """Write it with its metadata."""


class Exported(NamedTuple):
    """An exported file and its metadata."""

    path: Path
    metadata: Metadata


def export_model(
    name: str | Path,
    wanted: Wanted,
    target: str | Path | None = None,
    root: str | Path | None = None,
    trust_checkpoint: bool = False,
) -> Exported:
    """Write a checkpoint for another runtime.

    Args:
        name: the path of a checkpoint, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        wanted: what to write.
        target: the file, which must not exist; by default next to the checkpoint, with the suffix of the format.
        root: folder of the run's data, if it has moved.
        trust_checkpoint: let the file name classes of any package, which runs code; only for your own files.

    Raises:
        UsageError: if the model cannot be written in this format, or the file predicts other masks.
        CheckpointError: if the checkpoint cannot be used.
    """
    check(wanted)
    checkpoint = Checkpoint.find(name, trust_checkpoint)
    target = target_of(checkpoint, wanted, target)
    module = checkpoint.module()
    padding = padding_of(module.segmentor)
    check_size(wanted, padding)
    items = Items(checkpoint, windows_of(module, padding), root)
    if wanted.int8 and not items.count:
        raise UsageError(f'export: --int8 needs images of the run to calibrate: {items.missing}; see --root')
    if not items.count:
        warn(f'export: the proof uses random images alone: {items.missing}')
    metadata = metadata_of(checkpoint, module, wanted, padding)
    model = _translated(module, wanted, padding, items)
    with writing_to(target.parent, 'choose another file'), TemporaryDirectory(prefix='.', dir=target.parent) as folder:
        trial, final = Path(folder, f'trial{target.suffix}'), Path(folder, f'final{target.suffix}')
        model.save(trial, metadata)
        found = _prove(module, trial, items)
        _judge(found, wanted)
        metadata = metadata.model_copy(update={'proof': found})
        model.save(final, metadata)
        for source, place in reversed([*zip(files(final), files(target), strict=True)]):  # the .xml comes last
            source.rename(place)
    return Exported(target, metadata)


def _translated(module: Segmentor, wanted: Wanted, padding: Padding, items: Items) -> Saves:
    """Return the model in the wanted format."""
    if wanted.half:
        module = copy.deepcopy(module)
        module.segmentor.half()
    program = program_of(Graph(module, padding, wanted.output, wanted.half), wanted.size)
    if wanted.format == 'torch':
        return Program(program)
    model = to_onnx(program, wanted.output)
    if wanted.int8:
        model = quantised(model, items.pieces(CALIBRATED, wanted.size))
    return model if wanted.format == 'onnx' else to_openvino(model)


def _prove(module: Segmentor, path: Path, items: Items) -> Proof:
    """Compare a file with the checkpoint."""
    runtime = open_exported(path, trust=True)
    metadata = runtime.metadata
    size = (metadata.size[0], metadata.size[1]) if metadata.size else None
    random = proving.compare(module, runtime, proving.random_images(metadata))
    validation = None
    if pieces := items.pieces(PROVED, size):
        validation = proving.compare(module, runtime, pieces)
    scored = metadata.precision == 'int8' and metadata.output == 'logits' and size is None
    return Proof(random=random, validation=validation, miou=_scores(module, path, items) if scored else None)


def _scores(module: Segmentor, path: Path, items: Items) -> list[float] | None:
    """Return the mIoU of the checkpoint and of the file; None if no pixel is labelled."""
    batches = [collate([item]) for item in items.items(SCORED)]
    scores = [proving.miou(each, batches) for each in (module, Checkpoint(path, trust=True).module())]
    return None if any(map(math.isnan, scores)) else scores


def _judge(found: Proof, wanted: Wanted) -> None:
    """Refuse a file that predicts other masks.

    Raises:
        UsageError: unless the differences are allowed.
    """
    required = proving.REQUIRED[wanted.precision]
    for kind, each in found.comparisons().items():
        if each.equal_pixels < required and not wanted.allow_differences:
            scores = '' if found.miou is None else ' (mIoU {1:.2%}, {0:.2%} before)'.format(*found.miou)
            raise UsageError(
                f'export: on {counted(each.images, f"{kind} image")}, {percent(each.equal_pixels)} of the pixels are '
                f'equal{scores}, less than {100 * required:g} %; --allow-differences keeps the file'
            )
