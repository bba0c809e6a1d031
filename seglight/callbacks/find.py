"""Callbacks that work with another one find it by its class."""

from __future__ import annotations

from typing import TypeVar

from pytorch_lightning import Callback, Trainer

Kind = TypeVar('Kind', bound=Callback)


def find_callback(trainer: Trainer, kind: type[Kind]) -> Kind | None:
    """Return the first callback of a trainer that is of a class, None where it has none."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)
