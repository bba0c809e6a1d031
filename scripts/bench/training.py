"""Compare val mIoU over time of models trained for the same wall-clock time with mmcv's Runner and seglight.

python scripts/bench/training.py --root DATA --models segformer_b0 fast_scnn --minutes 10 --output docs

Both sides have random weights of the same seed, the same crops, batches, optimizer and poly schedule.
A trial of two epochs shows how many fit into the time; each side then trains for that number, so that
its schedule ends on time. Writes {output}/training.png and training.csv, and prints a table.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
import pytorch_lightning as pl
from matplotlib.figure import Figure
from mmcv.runner import Hook
from mmseg.apis import single_gpu_test
from mmseg.datasets import build_dataloader
from sides import Clock, Task, mmcv_runner, mmseg_dataset, quieten, seglight_trainer
from throughput import MODELS

from seglight.files import write_atomically

Curve = list[tuple[float, float]]  #: seconds since the start, and val mIoU

ADAMW = {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.01}
POLY = {'policy': 'poly', 'power': 0.9, 'min_lr': 1e-6, 'by_epoch': False}
WARMUP = {'warmup': 'linear', 'warmup_iters': 50, 'warmup_ratio': 0.02}


class _Evaluate(Hook):
    """Validates like mmseg's EvalHook, and records time and mIoU."""

    def __init__(self, task: Task, curve: Curve, every: int) -> None:
        self.dataset = mmseg_dataset(task, 'val')
        options = {'samples_per_gpu': 1, 'workers_per_gpu': task.workers, 'shuffle': False}
        self.loader = build_dataloader(self.dataset, num_gpus=1, dist=False, **options)
        self.curve, self.every, self.start = curve, every, time.perf_counter()

    def before_run(self, runner: Any) -> None:  # noqa: ARG002
        self.start = time.perf_counter()

    def after_train_epoch(self, runner: Any) -> None:
        if self.every_n_epochs(runner, self.every) or runner.epoch + 1 == runner.max_epochs:
            with contextlib.redirect_stdout(io.StringIO()):  # hides its progress bar
                results = single_gpu_test(runner.model, self.loader, pre_eval=True)
            figure = self.dataset.evaluate(results, logger='silent')['mIoU']
            self.curve.append((time.perf_counter() - self.start, float(figure)))
            runner.model.train()


class _Note(pl.Callback):
    """Records time and mIoU of each validation."""

    def __init__(self, curve: Curve) -> None:
        self.curve, self.start = curve, 0.0

    def on_train_start(self, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.curve.append((time.perf_counter() - self.start, float(trainer.callback_metrics['val/mIoU'])))


def train_mmcv(task: Task, folder: str, epochs: int, every: int) -> Curve:
    """Train with mmcv's Runner."""
    curve: Curve = []
    mmcv_runner(task, Clock([]), folder, [_Evaluate(task, curve, every)], max_epochs=epochs)()
    return curve


def train_seglight(task: Task, folder: str, epochs: int, every: int) -> Curve:
    """Train with seglight."""
    curve: Curve = []
    seglight_trainer(task, Clock([]), folder, [_Note(curve)], max_epochs=epochs, check_val_every_n_epoch=every)()
    return curve


SIDES: dict[str, Callable[..., Curve]] = {"mmcv's Runner": train_mmcv, 'seglight': train_seglight}


def main() -> None:
    """Train both sides of each model, one after the other, and write the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--root', required=True)
    parser.add_argument('--models', choices=MODELS, nargs='+', default=['segformer_b0', 'fast_scnn'])
    parser.add_argument('--minutes', type=float, default=10.0)
    parser.add_argument('--crop', type=int, default=256)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--points', type=int, default=8, help='validations of each side')
    parser.add_argument('--mixed', action='store_true')
    parser.add_argument('--output', type=Path, default=Path('docs'))
    options = parser.parse_args()
    quieten()
    curves: dict[tuple[str, str], Curve] = {}
    print('| model | side | epochs | minutes | val mIoU at the end | best |\n|---|---|---:|---:|---:|---:|')
    for model in options.models:
        task = Task(
            MODELS[model], str(Path(options.root).resolve()), options.crop, options.batch_size, options.workers,
            optimizer=ADAMW, schedule={**POLY, **WARMUP}, mixed=options.mixed,
        )  # fmt: skip
        for side in SIDES:
            epochs, curve = train_for(side, task, 60 * options.minutes, options.points)
            best = max(value for _, value in curve)
            end = f'{epochs} | {curve[-1][0] / 60:.1f} | {100 * curve[-1][1]:.1f} % | {100 * best:.1f} %'
            print(f'| {model} | {side} | {end} |', flush=True)
            curves[model, side] = curve
            write(curves, options.output)


def train_for(side: str, task: Task, seconds: float, points: int) -> tuple[int, Curve]:
    """Return the number of epochs that fit into a time, and the curve of a training of that length."""
    train = SIDES[side]
    with tempfile.TemporaryDirectory() as folder:
        (first, _), (second, _) = train(task, folder, 2, 1)  # each epoch with a validation
        fit = max(1, 1 + round((seconds - first) / (second - first)))
        every = max(1, fit // points)
        epochs = fit // every * every  # so that the last epoch is validated
        return epochs, train(task, folder, epochs, every)


def write(curves: dict[tuple[str, str], Curve], folder: Path) -> None:
    """Write the curves as a table and as a plot."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(['model', 'side', 'minutes', 'mIoU'])
    models = list(dict.fromkeys(model for model, _ in curves))
    figure = Figure(figsize=(5 * len(models), 4), layout='constrained')
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        for side in SIDES:
            curve = curves.get((model, side), [])
            table.writerows((model, side, f'{seconds / 60:.2f}', f'{value:.4f}') for seconds, value in curve)
            axes.plot([at / 60 for at, _ in curve], [100 * value for _, value in curve], marker='o', label=side)
        axes.set(xlabel='minutes', ylabel='val mIoU in %', title=model, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(loc='lower right')
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=100)
    write_atomically(folder / 'training.png', picture.getvalue())
    write_atomically(folder / 'training.csv', text.getvalue().encode())


if __name__ == '__main__':
    main()
