"""Figures that callbacks watch, such as the `monitor` of Lightning's `EarlyStopping`: each has to be logged."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.config.settings import nearest
from seglight.errors import ConfigError

#: What the names of single classes' figures have in them.
_OF_A_CLASS = '.'


class MonitoredFigures(Callback):
    """Ends a run after its first validation if a callback watches a figure that nothing logs.

    Its place is before the callbacks that watch, some of which would end the run later and with less to say.
    """

    def __init__(self) -> None:
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for figures of the validation; those of training may come at the end of the epoch.

        Raises:
            ConfigError: for one that is not logged.
        """
        if not trainer.sanity_checking:
            self._validated = True
            _check(trainer, ('val/',))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for all figures.

        Raises:
            ConfigError: for one that is not logged.
        """
        if self._validated or not trainer.enable_validation:  # not so while a finder tries a few steps
            _check(trainer, ('',) if self._validated else ('train/',))


def _check(trainer: Trainer, prefixes: tuple[str, ...]) -> None:
    """Refuse the first callback that watches a figure with one of the prefixes that is not logged."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    figures = trainer.callback_metrics
    for callback in callbacks:
        name = getattr(callback, 'monitor', None)
        if not isinstance(name, str) or not name.startswith(prefixes) or name in figures:
            continue
        if getattr(callback, 'strict', True):
            logged = ', '.join(figure for figure in figures if _OF_A_CLASS not in figure)
            raise ConfigError(
                'trainer.callbacks',
                f"{type(callback).__name__} has the monitor '{name}', which is not logged"
                f'{nearest(name, figures)}; what is logged: {logged}',
            )
