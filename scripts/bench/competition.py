"""Folds, an ensemble and a round of pseudo labels on CamVid, scored on images that none of them has seen labels of.

    python scripts/bench/competition.py path/to/camvid [--epochs 10] [--work-dir DIR]

Two small models train on three folds of CamVid's training images. Its validation images are the test images of the
competition; their labels are only used here. Prints the tables of the commands, and at last the mIoU on those images:
of a single checkpoint (the mean over the folds), of the checkpoints of a model together, and of the ensemble. With
`--work-dir`, the same command resumes.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from plan import PARTS, SMALL, run

FOLDS = 3

#: The FPN of `plan.py`, and mmseg's DeepLabV3+ on a ResNet-18 with as few channels.
MODELS: dict[str, dict[str, Any]] = {
    'fpn': {'_base_': [*PARTS, 'schedules/adamw_poly.yaml'], 'model': {'segmentor': SMALL}},
    'deeplabv3plus': {
        '_base_': ['datasets/camvid.yaml', 'schedules/adamw_poly.yaml', 'runtime.yaml'],
        'model': {
            'zoo': 'deeplabv3plus/deeplabv3plus_r18-d8_512x1024_80k_cityscapes',
            'channels_last': True,
            'segmentor': {
                'pretrained': None,
                'backbone': SMALL['backbone'],
                'decode_head': {'in_channels': 128, 'channels': 32, 'c1_in_channels': 16, 'c1_channels': 12},
                'auxiliary_head': None,
            },
        },
    },
}


def main() -> None:
    """Run all commands, and print what they score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path)
    parser.add_argument('--epochs', type=int, default=10)
    parser.add_argument('--work-dir', type=Path, help='keep all files here (default: a temporary folder)')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.work_dir or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        compete(folder.resolve(), options.root.resolve(), options.epochs)


def compete(folder: Path, root: Path, epochs: int) -> None:
    """Train both rounds, choose an ensemble of each, and print the tables."""
    configs = write_configs(folder, root, epochs)
    folds = folder / 'folds'
    words = [word for path in configs.values() for word in ('--config', path)]
    spent, out = run('folds', *words, '--folds', FOLDS, '--work-dir', folds, '--rounds', 2)
    print(f'folds: {spent:.0f} s of processor time\n{out}', flush=True)
    for title, round_folder in (('1', folds), ('2', folds / 'round2')):
        print(f'ensemble of round {title}\n{run("ensemble", round_folder)[1]}', flush=True)
        print('\n'.join(table(title, round_folder, list(configs))), flush=True)


def write_configs(folder: Path, root: Path, epochs: int) -> dict[str, Path]:
    """Write the config of each model."""
    common = {
        'data': {'root': str(root), 'test': {'type': 'FolderSource', 'img_dir': 'img_dir/val'}, 'num_workers': 0},
        'trainer': {'max_epochs': epochs, 'check_val_every_n_epoch': max(1, epochs // 4)},
        'report': False,
    }
    paths = {name: folder / f'{name}.yaml' for name in MODELS}
    for name, values in MODELS.items():
        paths[name].write_text(yaml.safe_dump({**values, **common}))
    return paths


def table(title: str, folder: Path, models: list[str]) -> list[str]:
    """Return the rows of a round: the mIoU on the images of val."""
    rows = [f'| round {title}, on the test images | mIoU |', '|---|---:|']
    for model in models:
        runs = [folder / model / f'fold{fold + 1}' for fold in range(FOLDS)]
        words = [('--ckpt', run_folder) for run_folder in runs]
        single = statistics.mean(score(*each) for each in words)
        together = score(*chain.from_iterable(words))
        rows += [f'| {model}, one checkpoint | {single:.2f} |', f'| {model}, all folds | {together:.2f} |']
    return [*rows, f'| ensemble | {score("--ensemble", folder / "ensemble.yaml"):.2f} |']


def score(*words: object) -> float:
    """Return the mIoU of a prediction for the images of val, in percent."""
    _, out = run('validate', *words, '--report=false')
    found = re.search(r'mIoU\D*([\d.]+)', out)
    if not found:
        raise SystemExit(out)
    return float(found[1])


if __name__ == '__main__':
    main()
