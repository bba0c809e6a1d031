"""What a training run says, in a terminal and in a log file alike."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class EpochLines(Callback):
    """Prints `epoch 3/12   loss 0.812   mIoU 31.20 %   aAcc 84.10 %   14 s` after each epoch."""

    def __init__(self) -> None:
        self._start = 0.0
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of an epoch that a resumed run is in the middle of."""
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.monotonic()
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch has figures of its own."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's line; Lightning has validated before it calls this."""
        line = self._line(trainer, time.monotonic() - self._start)
        bar = trainer.progress_bar_callback
        if bar is not None:
            bar.print(line)  # above the bar; a trainer without one has None here
        elif trainer.is_global_zero:
            print(line, flush=True)

    def _line(self, trainer: Trainer, seconds: float) -> str:
        """Return the line of the epoch that ends."""
        figures = trainer.callback_metrics
        epochs = '' if trainer.max_epochs in (None, -1) else f'/{trainer.max_epochs}'
        parts = [f'epoch {trainer.current_epoch + 1}{epochs}']
        if 'train/loss' in figures:
            parts.append(f'loss {figures["train/loss"]:.3f}')
        shown = [name for name in ('mIoU', 'aAcc') if self._validated and f'val/{name}' in figures]
        parts += [f'{name} {100 * figures[f"val/{name}"]:.2f} %' for name in shown]
        return '   '.join([*parts, f'{seconds:.0f} s'])


def metrics_table(metrics: Mapping[str, Any], stage: str) -> str:
    """Return the figures of each class, one class to a line, then mIoU, mAcc, aAcc and other means, in percent.

    Args:
        metrics: logged figures between 0 and 1, such as `val/IoU.Paper` and `val/mIoU`.
        stage: `val` or `test`, the figures to show.
    """
    shown = {name.removeprefix(f'{stage}/'): value for name, value in metrics.items() if name.startswith(f'{stage}/')}
    split = [(*name.split('.', 1), value) for name, value in shown.items() if '.' in name]
    figures = list(dict.fromkeys(figure for figure, _, _ in split))
    rows = {name: [shown[f'{figure}.{name}'] for figure in figures] for _, name, _ in split}
    means = ['mIoU', 'mAcc', 'aAcc', *(f'm{figure}' for figure in figures if figure not in ('IoU', 'Acc'))]
    rows.update({name: [shown[name]] for name in means if name in shown})
    width = max((len(name) for name in rows), default=0)
    columns = [max(8, len(figure)) for figure in figures] or [8]
    lines = [f'  {"":<{width}}' + _cells(figures, columns)] if len(figures) > 1 else []
    for name, row in rows.items():
        lines.append(f'  {name:<{width}}' + _cells([f'{100 * float(value):.2f} %' for value in row], columns))
    return '\n'.join(lines)


def _cells(words: Sequence[str], widths: Sequence[int]) -> str:
    return ''.join(f'  {word:>{width}}' for word, width in zip(words, widths, strict=False))
