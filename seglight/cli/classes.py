"""The classes of a checkpoint and those of the data that it is used on."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.utilities import rank_zero_only

from seglight.cli.request import Request
from seglight.config.class_names import difference, order_of
from seglight.errors import UsageError, say, warn


def keep_classes(request: Request, data: Any) -> list[int] | None:
    """Let a checkpoint have the classes it was trained with, whatever the data that it is used on.

    Args:
        request: with the checkpoint and the data that it was trained on.
        data: the arguments of the data; their classes are changed for a prediction.

    Returns:
        The order that maps what the checkpoint predicts to the classes of the data, None where nothing is mapped.

    Raises:
        UsageError: if it is to be measured on masks of another number of classes.
    """
    checkpoint, trained, given = request.checkpoint, request.trained_on.get('classes'), data.classes
    evaluates = request.subcommand in ('validate', 'test')
    if checkpoint and checkpoint.from_mmseg and evaluates and data.reduce_zero_label:
        rank_zero_only(say)(
            f'Labels     label 0 of the masks is ignored and the others move down by one, as {checkpoint} was '
            'trained; --data.reduce_zero_label=false takes them as they are',
        )
    if trained is None or trained == given:
        return None
    if len(trained) == len(given):
        return _order(f'{checkpoint} {difference(trained, given)}', order_of(trained, given))
    if evaluates:
        message = f'{checkpoint} was trained on {len(trained)} classes, data.classes names {len(given)}'
        raise UsageError(f'{message}; give data whose masks have the classes of the checkpoint')
    data.classes, data.palette = trained, request.trained_on.get('palette')
    return None


def _order(text: str, order: list[int] | None) -> list[int] | None:
    """Report classes of other names or another order, and return the order."""
    if order:
        rank_zero_only(say)(f'Classes    {text}; what it predicts is mapped by name')
    else:
        rank_zero_only(warn)(f'{text}; label i of a mask is taken for its class i')
    return order
