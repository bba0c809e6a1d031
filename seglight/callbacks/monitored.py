"""Check that every metric that a callback monitors is logged, for example the `monitor` of `EarlyStopping`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from seglight.errors import ConfigError
from seglight.similar import nearest
from seglight.trainer_callbacks import callbacks_of

#: Separates the metric and the class in the name of a metric of one class.
_OF_A_CLASS = '.'

#: Prefix of the metrics of a training step.
TRAINING = 'train/'

#: What Lightning's `ModelCheckpoint` can also monitor.
_COUNTERS = ('epoch', 'step')


class MonitoredFigures(Callback):
    """Ends a run if a callback monitors a metric that is not logged, after the first validation at the latest.

    If the module lists its metrics (`figures()` and `training_figures()`), and it and all callbacks are seglight's or
    Lightning's, the run ends before anything is written. This callback must come before the callbacks that monitor a
    metric, some of which would end the run later, with a less helpful message.
    """

    def __init__(self) -> None:
        self._validated = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check all metrics, or if those of a training step are not known yet, those of the validation.

        Raises:
            ConfigError: for a metric that is not logged.
        """
        figures = getattr(pl_module, 'figures', None)
        if stage != 'fit' or figures is None or not all(map(_is_known, [pl_module, *callbacks_of(trainer)])):
            return
        # seglight's callbacks check their metrics themselves.
        monitoring = [each for each in callbacks_of(trainer) if _package(each) != 'seglight']
        training = [each for each in monitoring if str(getattr(each, 'monitor', '')).startswith(TRAINING)]
        training_figures = getattr(pl_module, 'training_figures', None)
        items = training_figures() if training and training_figures is not None else None
        if items is None:
            monitoring = [each for each in monitoring if each not in training]
        logged = [f'val/{name}' for name in figures()] + [f'{TRAINING}{name}' for name in items or ()]
        _check(monitoring, ('',), logged)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the validation metrics; training metrics may be logged at the end of the epoch.

        Raises:
            ConfigError: for a metric that is not logged.
        """
        if not trainer.sanity_checking:
            self._validated = True
            _check(callbacks_of(trainer), ('val/',), trainer.callback_metrics)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check all metrics.

        Raises:
            ConfigError: for a metric that is not logged.
        """
        if self._validated or not trainer.enable_validation:  # false while a finder tries a few steps
            prefixes = ('',) if self._validated else (TRAINING,)
            _check(callbacks_of(trainer), prefixes, trainer.callback_metrics)


def _package(part: object) -> str:
    return type(part).__module__.split('.')[0]


def _is_known(part: object) -> bool:
    """Return whether the metrics that a module or a callback logs are known."""
    return _package(part) in ('seglight', 'pytorch_lightning')


def _check(callbacks: Iterable[Any], prefixes: tuple[str, ...], metrics: Iterable[str]) -> None:
    """Reject the first callback whose `monitor` has one of the prefixes and is not logged."""
    metrics = list(metrics)
    for callback in callbacks:
        name = getattr(callback, 'monitor', None)
        counts = isinstance(callback, ModelCheckpoint) and name in _COUNTERS
        if not isinstance(name, str) or not name.startswith(prefixes) or name in metrics or counts:
            continue
        if getattr(callback, 'strict', True):
            logged = ', '.join(each for each in metrics if _OF_A_CLASS not in each or each.startswith(TRAINING))
            raise ConfigError(
                'trainer.callbacks',
                f"{type(callback).__name__} has the monitor '{name}', which is not logged"
                f'{nearest(name, metrics)}; logged are: {logged}',
            )
