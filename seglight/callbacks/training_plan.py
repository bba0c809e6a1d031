"""The plan of a run: its parameter groups, and its learning rate at every step."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from seglight.callbacks.finder_result import finder_failure
from seglight.console import labelled
from seglight.counting import counted
from seglight.errors import say, warn
from seglight.figures import drawn
from seglight.files import write_atomically
from seglight.models import Segmentor
from seglight.models.optimizers import first_names, groups_table, parameter_names
from seglight.models.schedules import MmcvSchedule
from seglight.run import run_folder
from seglight.steps import planned_steps

LEGEND = 16  #: maximum number of curves in the legend of the schedule


class TrainingPlan(Callback):
    """Writes `optimizer.txt`, a table of the parameter groups, and `schedule.png` into the run's folder.

    Also prints the plan in one line, and warns of likely mistakes in the schedule. Does nothing for a module that is
    not a `Segmentor`.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both files, after Lightning has built optimizer and schedule."""
        folder = run_folder(trainer)
        if not trainer.is_global_zero or not isinstance(pl_module, Segmentor):
            return
        table = groups_table(pl_module, trainer.optimizers[0])
        write_atomically(folder / 'optimizer.txt', table.encode())
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, MmcvSchedule):
                picture = draw_schedule(config.scheduler, pl_module)
                write_atomically(folder / 'schedule.png', picture)
                limit = trainer.limit_train_batches  # 1 is one batch, 1.0 is all batches
                for warning in config.scheduler.doubts(whole=isinstance(limit, float) and limit == 1):
                    warn(warning)
        if failure := finder_failure(trainer):
            warn(failure)
        # Printed this late because Lightning's finders may have changed the values in the config.
        batch_size: Any = getattr(trainer.train_dataloader, 'batch_size', None)
        steps = planned_steps(trainer)
        optimizer = trainer.optimizers[0]
        rate = float(optimizer.defaults['lr'])
        name = type(optimizer).__name__
        images = f'{counted(batch_size, "image")} in a batch'
        say(labelled('Training', f'{name}, learning rate {rate:.4g}, {counted(steps, "step")}, {images}'))


def draw_schedule(schedule: MmcvSchedule, module: nn.Module, points: int = 2000) -> bytes:
    """Return a plot of the learning rates over a run, as PNG, with a legend if parameter groups differ.

    Args:
        schedule: the schedule of the run; it is not changed.
        module: the model, for the names of the parameters.
        points: maximum number of steps to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late: matplotlib takes long to import
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    every = max(1, schedule.max_steps // points)
    steps = [*range(0, schedule.max_steps, every), schedule.max_steps - 1]
    curves: dict[tuple[float, ...], list[Tensor]] = {}
    rates = zip(*[schedule.rates(step) for step in steps], strict=True)
    for curve, group in zip(rates, schedule.optimizer.param_groups, strict=True):
        curves.setdefault(curve, []).extend(group['params'])
    if len(curves) == 1:  # a fixed layout takes half the time
        figure = Figure(figsize=(8, 4))
        figure.subplots_adjust(left=0.11, right=0.98, bottom=0.13, top=0.91)
    else:  # with a legend, whose width depends on the names
        figure = Figure(figsize=(11, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = parameter_names(module)
    for curve, tensors in curves.items():
        label = f'{counted(len(tensors), "tensor")}: {first_names(names, tensors, 1)}'
        axes.plot(steps, curve, label=label if len(axes.lines) < LEGEND else None)
    axes.set(xlabel='step', ylabel='learning rate', title=f'{schedule.max_steps} steps', ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        more = f'and {len(curves) - LEGEND} more, in optimizer.txt' if len(curves) > LEGEND else None
        figure.legend(loc='outside right upper', fontsize=7, title=more, title_fontsize=7)
    return drawn(figure, dpi=100)
