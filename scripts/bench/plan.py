"""Compare a planned run with mmseg's defaults and with `camvid.yaml` on CamVid, each with the same processor time.

    python scripts/bench/plan.py path/to/camvid --hours 0.025

The model is a quarter as wide as that of `camvid.yaml`. The planned run trains first; the others get as many steps as
take its time, by the processor time of a step that is measured in the same way for each. All are validated at the end
on whole images, with the last weights. Loader processes are off, so that all work is counted.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
from seglight.__main__ import _command_line
from seglight.competition.planning.trials import Trials
from seglight.config.files import load_config

#: `configs/models/fpn_r18.yaml` with a quarter of the channels.
SMALL: dict[str, Any] = {
    'backbone': {'base_channels': 16, 'stem_channels': 16},
    'neck': {'in_channels': [16, 32, 64, 128], 'out_channels': 32},
    'decode_head': {'in_channels': [32] * 4, 'channels': 32},
}

#: The pipeline of mmseg's `_base_/datasets/ade20k.py` and its batch for a GPU.
MMSEG: dict[str, Any] = {
    'train_transforms': [
        {'type': 'RandomScale', 'scale_limit': [-0.5, 1.0], 'p': 1.0},
        {'type': 'PadIfNeeded', 'min_height': 512, 'min_width': 512},
        {'type': 'CatMaxRatioCrop', 'height': 512, 'width': 512, 'cat_max_ratio': 0.75},
        {'type': 'HorizontalFlip', 'p': 0.5},
        {'type': 'PhotoMetricDistortion'},
    ],
    'batch_size': 4,
}

PARTS = ['models/fpn_r18.yaml', 'datasets/camvid.yaml', 'runtime.yaml']


def main() -> None:
    """Run all three, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path)
    parser.add_argument('--hours', type=float, default=0.025)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configs = write_configs(folder, arguments.root.resolve())
        spent = run(
            'plan', '--config', configs['own'], '--hours', str(arguments.hours), '--output', folder / 'plan.yaml'
        )
        print(f'planning took {spent[0]:.0f} s\n{(folder / "plan.yaml").read_text()}')
        configs['planned'] = folder / 'plan.yaml'
        values = load_config(configs['planned']).values
        batches = max(1, 367 // values['data']['batch_size'])
        steps = {'planned': values['trainer']['max_epochs'] * batches}
        costs = {name: seconds_of_a_step(configs[name]) for name in ('planned', 'camvid', 'mmseg')}
        total = steps['planned'] * costs['planned']
        for name in ('camvid', 'mmseg'):
            steps[name] = max(1, round(total / costs[name]))
        print('config, steps, processor time of a step and of the whole process, mIoU')
        for name, count in steps.items():
            print(name, count, f'{costs[name]:.3f} s', *train(folder, name, configs[name], count), flush=True)


def write_configs(folder: Path, root: Path) -> dict[str, Path]:
    """Write the config to plan for, and the two to compare with."""
    data = {'root': str(root), 'num_workers': 0}
    model = {'segmentor': SMALL}
    contents: dict[str, dict[str, Any]] = {
        'own': {'_base_': [*PARTS, 'schedules/adamw_poly.yaml'], 'data': data, 'model': model},
        'camvid': {'_base_': 'camvid.yaml', 'data': data, 'model': model},
        'mmseg': {'_base_': [*PARTS, 'schedules/sgd_poly.yaml'], 'data': {**data, **MMSEG}, 'model': model},
    }
    paths = {name: folder / f'bench_{name}.yaml' for name in contents}  # not the names of the shipped files
    for name, values in contents.items():
        paths[name].write_text(yaml.safe_dump({**values, 'report': False}))
    return paths


def seconds_of_a_step(config: Path) -> float:
    """Return the processor time of a training step, as the difference between six steps and two."""
    times = []
    for steps in (2, 2, 6):
        start = time.process_time()
        Trials([str(config)], _command_line).run({'data': {'full': True}}, steps=steps, warmup=0)
        times.append(time.process_time() - start)
    return (times[2] - times[1]) / 4


def train(folder: Path, name: str, config: Path, steps: int) -> tuple[str, str]:
    """Train for some steps, and return the processor time and the mIoU on val."""
    words = [f'--trainer.max_steps={steps}', '--trainer.max_epochs=-1', '--trainer.limit_val_batches=0']
    spent, _ = run('fit', '--config', config, '--work-dir', folder / name, *words)
    _, out = run('validate', '--ckpt', folder / name / 'last.ckpt', '--report=false')
    found = re.search(r'mIoU\D*([\d.]+)', out)
    return f'{spent:.0f} s', found[1] if found else out


def run(*words: object) -> tuple[float, str]:
    """Run a command, and return its processor time and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, '-m', 'seglight', *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(done.stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


if __name__ == '__main__':
    main()
