"""What a checkpoint records about a subclass of `Segmentor`: which of its methods change predictions."""

from __future__ import annotations

from typing import Any

from seglight.models.inference.module import PredictingModule

#: The entry in a checkpoint; only a subclass writes it.
ENTRY = 'subclass'

#: Methods that change the predictions of whoever overrides them, besides those of `PredictingModule`.
_HOOKS = (
    *('__call__', 'configure_model', 'eval', 'load_state_dict', 'train'),
    *('on_after_batch_transfer', 'on_before_batch_transfer', 'transfer_batch_to_device'),
    *('on_predict_batch_end', 'on_predict_batch_start', 'on_predict_epoch_start', 'on_predict_start'),
)

PREDICTING = frozenset({*_HOOKS, *(name for name, value in vars(PredictingModule).items() if callable(value))})


def record_of(cls: type) -> dict[str, Any] | None:
    """Return the name of a subclass and its methods that change predictions; None for a class of seglight.

    Args:
        cls: `seglight.models.Segmentor`, or a class that inherits from it.

    Returns:
        `name`: the class path; `predicts`: the names of the methods, sorted.
    """
    base = next(each for each in cls.__mro__ if each.__module__.partition('.')[0] == 'seglight')
    if base is cls:
        return None
    own = PREDICTING - {'__init__'}
    changed = sorted(name for name in own if getattr(cls, name, None) is not getattr(base, name, None))
    return {'name': f'{cls.__module__}.{cls.__qualname__}', 'predicts': changed}
