"""Find another callback of the trainer by its class."""

from __future__ import annotations

from typing import TypeVar

from pytorch_lightning import Callback, Trainer

Kind = TypeVar('Kind', bound=Callback)


def find_callback(trainer: Trainer, kind: type[Kind]) -> Kind | None:
    """Return the trainer's first callback of a class; None if it has none."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by Lightning without a type
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)
