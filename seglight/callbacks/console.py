"""What a run prints: lines that suit a log file and, in a terminal, progress bars and tables."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import ProcessingSpeedColumn
from rich.markup import escape
from rich.table import Table

from seglight.host_number import HostNumber
from seglight.terminal import cell_width, columns, padded

NAMED = 5  #: maximum number of classes that a note names
FIGURE = 12  #: columns of an IoU in a table, with its spaces
COLUMN_ROWS = 20  #: maximum number of rows in a table, before it gets another column


class EpochLines(Callback):
    """Prints `epoch 3/12   loss 0.812   mIoU 31.20 %   aAcc 84.10 %   14 s` after each epoch.

    The line shows those of `train/loss`, `val/loss`, `val/mIoU` and `val/aAcc` that the module logs.
    """

    def __init__(self) -> None:
        self._start = 0.0
        self._validated = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock, also if the run resumes within an epoch."""
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        self._start = time.monotonic()
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that this epoch was validated."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the epoch's line; Lightning calls this after the validation."""
        line = self._line(trainer, time.monotonic() - self._start, getattr(pl_module, 'unseen', []))
        bar = trainer.progress_bar_callback
        if bar is not None:
            bar.print(line)  # above the bar
            if self._validated and isinstance(bar, ProgressBars):
                bar.print(class_table(trainer.callback_metrics, 'val'))
        elif trainer.is_global_zero:
            print(line, flush=True)

    def _line(self, trainer: Trainer, seconds: float, unseen: Sequence[str]) -> str:
        """Return the line of the epoch; `unseen` are the classes without a pixel in the masks of val."""
        metrics = trainer.callback_metrics
        epochs = '' if trainer.max_epochs in (None, -1) else f'/{trainer.max_epochs}'
        parts = [f'epoch {trainer.current_epoch + 1}{epochs}']
        if 'train/loss' in metrics:
            parts.append(f'loss {metrics["train/loss"]:.3f}')
        if self._validated and 'val/loss' in metrics:
            parts.append(f'val loss {metrics["val/loss"]:.3f}')
        shown = [name for name in ('mIoU', 'aAcc') if self._validated and f'val/{name}' in metrics]
        parts += [f'{name} {100 * metrics[f"val/{name}"]:.2f} %' for name in shown]
        parts += [unseen_note(unseen)] if unseen and 'mIoU' in shown else []
        return '   '.join([*parts, f'{seconds:.0f} s'])


class ProgressBars(RichProgressBar):
    """Lightning's rich bars with the loss, the learning rate, images per second, and the remaining time of the run.

    The speed is the mean over the epoch so far, for all processes together, without validation. Batches must be dicts
    with the images under `image`; the loss is what the module logs as `train/loss`, shown when it has arrived from the
    device, since a bar must not hold up the training.
    """

    reads_loss = True  #: so that the module need not pass the loss to Lightning's own bars

    def __init__(self, refresh_rate: int = 1) -> None:
        super().__init__(refresh_rate=refresh_rate, leave=False)
        self._images = 0
        self._start = 0.0
        self._remaining = ''
        self._loss = HostNumber()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock."""
        super().on_train_epoch_start(trainer, pl_module)
        self._images = 0
        self._start = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Count the images of the batch, and estimate the remaining time from the batches of this epoch."""
        self._images += len(batch['image']) * trainer.world_size
        seconds = (time.monotonic() - self._start) / (batch_idx + 1)
        batches = self.total_train_batches
        epochs = (trainer.max_epochs or 0) - trainer.current_epoch
        if trainer.max_steps > 0:  # may end the run before its last epoch
            remaining = (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches
        else:
            remaining = int(epochs * batches) - batch_idx - 1 if epochs > 0 else 0
        self._remaining = str(timedelta(seconds=round(max(0, remaining) * seconds)))
        if 'train/loss' in (logged := trainer.callback_metrics):
            self._loss.send(logged['train/loss'])
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Return Lightning's columns without batches per second, since `get_metrics` shows images per second."""
        return [
            column for column in super().configure_columns(trainer) if not isinstance(column, ProcessingSpeedColumn)
        ]

    def _get_train_description(self, current_epoch: int) -> str:
        """Count epochs from 1, like every other message of seglight."""
        epochs = '' if self.trainer.max_epochs in (None, -1) else f'/{self.trainer.max_epochs}'
        return f'{f"epoch {current_epoch + 1}{epochs}":{len(self.validation_description)}}'

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the values shown after the bar."""
        shown: dict[str, Any] = {} if self._loss.latest is None else {'loss': self._loss.latest}
        rates = [group['lr'] for optimizer in trainer.optimizers for group in optimizer.param_groups]
        if rates:
            shown['lr'] = f'{max(rates):.2e}'
        if self._images:
            shown['images/s'] = f'{self._images / (time.monotonic() - self._start):.1f}'
            shown['left'] = self._remaining
        return shown

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print text or a rich object, for example a table, above the bars."""
        if self._console is not None:
            self._console.print(*args, highlight=False)


def class_table(metrics: Mapping[str, Any], stage: str, width: int | None = None) -> Table:
    """Return the IoU of each class as a table, with more columns for more classes.

    Args:
        metrics: logged metrics between 0 and 1, for example `val/IoU.Paper`.
        stage: `val` or `test`, the metrics to show.
        width: the columns that the table may take; by default those of the terminal.
    """
    start = f'{stage}/IoU.'
    rows = [(name.removeprefix(start), value) for name, value in metrics.items() if name.startswith(start)]
    widest = max((cell_width(name) for name, _ in rows), default=0)
    fitting = (columns() if width is None else width) // (widest + FIGURE)
    count = max(1, min(-(-len(rows) // COLUMN_ROWS), fitting))
    height = -(-len(rows) // count)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for _ in range(count):
        table.add_column('class')
        table.add_column('IoU, %', justify='right')
    for row in range(height):
        cells = rows[row::height]
        table.add_row(*(text for name, value in cells for text in (escape(name), f'{100 * float(value):.2f}')))
    return table


def unseen_note(classes: Sequence[str]) -> str:
    """Return a note on classes without a pixel in any mask, for which IoU is not meaningful."""
    named = ', '.join(classes[:NAMED]) + (f' and {len(classes) - NAMED} more' if len(classes) > NAMED else '')
    return f'(no mask shows {named})'


def metrics_table(metrics: Mapping[str, Any], stage: str, unseen: Sequence[str] = ()) -> str:
    """Return the metrics of each class, one class per line, then the means in percent, mIoU first, and the loss.

    Args:
        metrics: logged metrics between 0 and 1, for example `val/IoU.Paper` and `val/mIoU`.
        stage: `val` or `test`, the metrics to show.
        unseen: classes without a pixel in any mask, named in a note after mIoU.
    """
    shown = {name.removeprefix(f'{stage}/'): value for name, value in metrics.items() if name.startswith(f'{stage}/')}
    split = [(*name.split('.', 1), value) for name, value in shown.items() if '.' in name]
    metric_names = list(dict.fromkeys(metric for metric, _, _ in split))
    rows = {name: [shown[f'{metric}.{name}'] for metric in metric_names] for _, name, _ in split}
    means = ['mIoU', 'mAcc', 'aAcc', *(f'm{metric}' for metric in metric_names if metric not in ('IoU', 'Acc'))]
    rows.update({name: [shown[name]] for name in means if name in shown})
    width = max((cell_width(name) for name in rows), default=0)
    widths = [max(8, len(metric)) for metric in metric_names] or [8]
    lines = [f'  {"":<{width}}' + _cells(metric_names, widths)] if len(metric_names) > 1 else []
    for name, row in rows.items():
        note = f'  {unseen_note(unseen)}' if unseen and name == 'mIoU' else ''
        cells = _cells([f'{100 * float(value):.2f} %' for value in row], widths)
        lines.append(f'  {padded(name, width)}{cells}{note}')
    if 'loss' in shown:
        lines.append(f'  {"loss":<{width}}' + _cells([f'{float(shown["loss"]):.4g}'], widths))
    return '\n'.join(lines)


def _cells(words: Sequence[str], widths: Sequence[int]) -> str:
    return ''.join(f'  {word:>{width}}' for word, width in zip(words, widths, strict=False))
