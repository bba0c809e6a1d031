"""Match the classes of a checkpoint with those of the data."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from seglight.cli.request import Request
from seglight.config.class_names import difference, order_of
from seglight.console import labelled
from seglight.errors import UsageError, say, warn


def keep_classes(request: Request, data: Any) -> list[int] | None:
    """Keep the classes that a checkpoint was trained with, even if those of the data differ.

    Args:
        request: the request, with the checkpoint and its training data.
        data: the arguments of the data; their classes are changed for a prediction.

    Returns:
        The order that maps the checkpoint's classes to those of the data; None if they are not mapped.

    Raises:
        UsageError: if the checkpoint is evaluated on masks with a different number of classes.
    """
    checkpoint, trained, given = request.checkpoint, request.trained_on.get('classes'), data.classes
    evaluates = request.subcommand in ('validate', 'test')
    if checkpoint and checkpoint.from_mmseg and evaluates and data.reduce_zero_label:
        text = (
            f'label 0 of the masks is ignored and the others decrease by one, as in the training of {checkpoint}; '
            '--data.reduce_zero_label=false keeps the labels unchanged'
        )
        rank_zero_only(say)(labelled('Labels', text))
    if trained is None or trained == given:
        return None
    if len(trained) == len(given):
        return _order(f'{checkpoint} {difference(trained, given)}', order_of(trained, given))
    if evaluates:
        message = f'{checkpoint} was trained on {len(trained)} classes, but data.classes has {len(given)}'
        raise UsageError(f'{message}; use data with the classes of the checkpoint')
    data.classes, data.palette = trained, request.trained_on.get('palette')
    return None


def _order(text: str, order: list[int] | None) -> list[int] | None:
    """Report different class names or a different order, and return the order."""
    if order:
        rank_zero_only(say)(labelled('Classes', f'{text}; its predictions are mapped by name'))
    else:
        rank_zero_only(warn)(f'{text}; label i of a mask is compared with its class i')
    return order
