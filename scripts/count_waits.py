"""Count how often a training step waits for the device, and who waits: for several models and losses, on a CPU.

    python scripts/count_waits.py
    python scripts/count_waits.py --case SegFormer --stacks

Each case is trained as a user would, for 20 steps that log nothing. See `waits.py` for what counts.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import waits
import yaml

from seglight.__main__ import run
from seglight.config.files import SHIPPED
from seglight.data.demo import generate

NORM = {'type': 'BN', 'requires_grad': True}

#: A residual network with an auxiliary head that trains in milliseconds.
SMALL: dict[str, Any] = {
    'type': 'EncoderDecoder',
    'backbone': {'type': 'ResNetV1c', 'depth': 18, 'base_channels': 8, 'stem_channels': 8, 'norm_cfg': NORM},
    'decode_head': {'type': 'FCNHead', 'in_channels': 64, 'in_index': 3, 'channels': 16, 'norm_cfg': NORM},
    'auxiliary_head': {'type': 'FCNHead', 'in_channels': 32, 'in_index': 2, 'channels': 8, 'norm_cfg': NORM},
    'train_cfg': {},
    'test_cfg': {'mode': 'whole'},
}
AUGMENT: list[dict[str, Any]] = [{'type': 'RandomCrop', 'height': 64, 'width': 64}, {'type': 'HorizontalFlip'}]


def small(head: dict[str, Any] | None = None, **loss: Any) -> dict[str, Any]:
    """Return the model group with `SMALL`, with values of its decode head and the loss of both heads."""
    loss = {'type': 'CrossEntropyLoss', **loss}
    decode = {**SMALL['decode_head'], 'loss_decode': loss, **(head or {})}
    auxiliary = {**SMALL['auxiliary_head'], 'loss_decode': {**loss, 'loss_weight': 0.4}}
    return {'segmentor': {**SMALL, 'decode_head': decode, 'auxiliary_head': auxiliary}}


def ohem(**arguments: Any) -> dict[str, Any]:
    """Return the values of a head that samples hard pixels."""
    return {'sampler': {'type': 'OHEMPixelSampler', 'min_kept': 1000, **arguments}}


FAST_SCNN = {'zoo': 'fastscnn/fast_scnn_lr0.12_8x4_160k_cityscapes'}
SEGFORMER = {'zoo': 'segformer/segformer_mit-b0_512x512_160k_ade20k', 'segmentor': {'pretrained': None}}
EMA = ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.decay=0.9']
MIXES = ['--data.mixes=[{type: CutMix, p: 0.5}, {type: Mosaic, p: 0.5}]']

#: The model group of each case, and its options.
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    'Fast-SCNN (sigmoid in auxiliary heads)': (FAST_SCNN, []),
    'SegFormer-B0': (SEGFORMER, []),
    'cross-entropy with class weights': (small(class_weight=[1.0, 2.0] * 5 + [0.5]), []),
    'cross-entropy, avg_non_ignore': (small(avg_non_ignore=True), []),
    'sigmoid, avg_non_ignore, weights': (
        small(use_sigmoid=True, avg_non_ignore=True, class_weight=[1.0, 2.0] * 5 + [0.5]),
        [],
    ),
    'OHEM with a threshold': (small(ohem(thresh=0.7)), []),
    'OHEM by loss': (small(ohem()), []),
    'Lovász': (small(type='LovaszLoss', reduction='none'), []),
    'Lovász per image, with weights': (
        small(type='LovaszLoss', per_image=True, class_weight=[1.0, 2.0] * 5 + [0.5]),
        [],
    ),
    'focal': (small(type='FocalLoss'), []),
    'Tversky': (small(type='TverskyLoss'), []),
    'Dice without ignored pixels': (small(type='MaskedDiceLoss'), []),
    'SGD, clipping, accumulation': (
        small(),
        ['--trainer.gradient_clip_val=1', '--trainer.accumulate_grad_batches=2', '--model.optimizer.type=SGD'],
    ),
    'EMA, CutMix and Mosaic': (small(), [*EMA, *MIXES]),
    'bf16-mixed': (small(), ['--trainer.precision=bf16-mixed']),
}


def count(model: dict[str, Any], options: Sequence[str], root: Path, folder: Path) -> waits.Counts:
    """Train a model in a folder as a user would, and return what its steps wait for.

    Args:
        model: the values of `model` in the config.
        options: more arguments of the command line.
        root: the data, see `generate`; at least 50 images to train on.
        folder: an existing folder to work in.

    Raises:
        RuntimeError: if the run fails.
    """
    bases = [str(SHIPPED / name) for name in ('datasets/trash.yaml', 'schedules/adamw_poly.yaml', 'runtime.yaml')]
    data = {'root': str(root), 'train_transforms': AUGMENT, 'batch_size': 2, 'num_workers': 0}
    config, file = folder / 'config.yaml', folder / 'waits.json'
    trainer = {'max_epochs': 1, 'limit_val_batches': 1}
    config.write_text(
        yaml.safe_dump({'_base_': bases, 'model': model, 'data': data, 'trainer': trainer, 'report': False})
    )
    command = ['fit', '--config', str(config), '--work-dir', str(folder / 'run'), *options]
    if run([*command, '--trainer.callbacks+=waits.StepWaits', f'--trainer.callbacks.file={file}']):
        raise RuntimeError(f'the run in {folder} failed')
    return waits.read(file)


def table(found: dict[str, waits.Counts]) -> Iterator[str]:
    """Yield the lines of a table: who waits how often in a step that logs nothing."""
    yield '| case | operation | called by | times a step |\n|---|---|---|---:|'
    for case, counts in found.items():
        if not counts.other:
            yield f'| {case} | none | | 0 |'
        for (operation, caller), times in Counter((each.operation, each.caller) for each in counts.other).most_common():
            yield f'| {case} | `{operation}` | {caller} | {times / counts.steps:.3g} |'


def main() -> None:
    """Count the waits of each case, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--case', default='', help='run only the cases whose names contain this text')
    parser.add_argument('--stacks', action='store_true', help='print the calls that lead to each wait')
    arguments = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder / 'data', counts={'train': 56, 'val': 2, 'test': 1}, size=80)
        for index, (case, (model, options)) in enumerate(CASES.items()):
            if arguments.case.lower() in case.lower():
                (folder / str(index)).mkdir()
                found[case] = count(model, options, folder / 'data', folder / str(index))
    print('\n'.join(table(found)))
    if arguments.stacks:
        for counts in found.values():
            for wait in dict.fromkeys((each.operation, *each.stack[-8:]) for each in counts.other):
                print('\n  '.join(wait))


if __name__ == '__main__':
    main()
