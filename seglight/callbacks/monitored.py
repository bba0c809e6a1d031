"""Figures that callbacks watch, such as the `monitor` of Lightning's `EarlyStopping`: each has to be logged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.config.settings import nearest
from seglight.errors import ConfigError

#: What the names of single classes' figures have in them.
_OF_A_CLASS = '.'

#: What the names of figures of training begin with, which depend on the losses.
TRAINING = 'train/'

#: What Lightning's `ModelCheckpoint` can watch besides.
_COUNTERS = ('epoch', 'step')


class MonitoredFigures(Callback):
    """Ends a run if a callback watches a figure that nothing logs, after its first validation at the latest.

    Where the module names its `figures()`, and it and all callbacks are this project's or Lightning's, the run ends
    before anything is made. Its place is before the callbacks that watch, some of which would end the run later and
    with less to say.
    """

    def __init__(self) -> None:
        self._validated = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Look for figures of the validation where it is known what is logged.

        Raises:
            ConfigError: for one that is not logged.
        """
        figures = getattr(pl_module, 'figures', None)
        if stage != 'fit' or figures is None or not all(map(_is_known, [pl_module, *_callbacks(trainer)])):
            return
        others = [each for each in _callbacks(trainer) if _package(each) != 'seglight']  # which check their own
        watched = [each for each in others if not str(getattr(each, 'monitor', '')).startswith(TRAINING)]
        _check(watched, ('',), [*(f'val/{name}' for name in figures()), *_COUNTERS])

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for figures of the validation; those of training may come at the end of the epoch.

        Raises:
            ConfigError: for one that is not logged.
        """
        if not trainer.sanity_checking:
            self._validated = True
            _check(_callbacks(trainer), ('val/',), trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for all figures.

        Raises:
            ConfigError: for one that is not logged.
        """
        if self._validated or not trainer.enable_validation:  # not so while a finder tries a few steps
            prefixes = ('',) if self._validated else (TRAINING,)
            _check(_callbacks(trainer), prefixes, trainer.callback_metrics)


def _callbacks(trainer: Trainer) -> list[Any]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    return callbacks


def _package(part: object) -> str:
    return type(part).__module__.split('.')[0]


def _is_known(part: object) -> bool:
    """Tell whether all that a module or a callback logs is known here."""
    return _package(part) in ('seglight', 'pytorch_lightning')


def _check(callbacks: Iterable[Any], prefixes: tuple[str, ...], figures: Iterable[str]) -> None:
    """Refuse the first callback that watches a figure with one of the prefixes that is not among those logged."""
    figures = list(figures)
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
