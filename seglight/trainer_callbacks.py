"""The callbacks of a trainer: Lightning sets the list without a type."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pytorch_lightning import Callback, Trainer

Kind = TypeVar('Kind')


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the trainer's own list of callbacks, in their order."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def find_callbacks(trainer: Trainer, kind: type[Kind]) -> list[Kind]:
    """Return the trainer's callbacks of a class, in their order."""
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, kind)]


def find_callback(trainer: Trainer, kind: type[Kind]) -> Kind | None:
    """Return the trainer's first callback of a class; None if it has none."""
    return next(iter(find_callbacks(trainer, kind)), None)
