"""What a run is going to do: its parameter groups, and its learning rate at every step."""

from __future__ import annotations

import io

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.files import write_atomically
from seglight.models import Segmentor
from seglight.models.optimizers import groups_table
from seglight.models.schedules import MmcvSchedule


class TrainingPlan(Callback):
    """Writes `optimizer.txt`, a table of the parameter groups, and `schedule.png` into the run's folder.

    And says in one line what is going to be done.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write both, when Lightning has built them."""
        if not trainer.is_global_zero or not isinstance(pl_module, Segmentor):
            return
        folder = pl_module.run_folder
        table = groups_table(pl_module.segmentor, trainer.optimizers[0])
        write_atomically(folder / 'optimizer.txt', table.encode())
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, MmcvSchedule):
                write_atomically(folder / 'schedule.png', draw_schedule(config.scheduler))
        # Said here, because Lightning's finders may have changed what the config says.
        batch_size = getattr(trainer.train_dataloader, 'batch_size', None)
        steps = trainer.estimated_stepping_batches
        optimizer = trainer.optimizers[0]
        rate = float(optimizer.defaults['lr'])
        name = type(optimizer).__name__
        print(f'Training   {name}, learning rate {rate:.4g}, {steps} steps, {batch_size} images in a batch', flush=True)


def draw_schedule(schedule: MmcvSchedule, points: int = 2000) -> bytes:
    """Return a picture of the learning rate of each group over a run, as PNG.

    Args:
        schedule: of the run; it is left as it is.
        points: how many steps are drawn at most.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # late: only a run draws
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    every = max(1, schedule.max_steps // points)
    steps = [*range(0, schedule.max_steps, every), schedule.max_steps - 1]
    rates = [schedule.rates(step) for step in steps]
    figure = Figure(figsize=(8, 4), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve in dict.fromkeys(zip(*rates, strict=True)):
        axes.plot(steps, curve)
    axes.set(xlabel='step', ylabel='learning rate', title=f'{schedule.max_steps} steps', ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=100)
    return buffer.getvalue()
