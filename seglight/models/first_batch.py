"""What the first training batch would show, known before it: whether the model takes it, and its loss items."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, distributed
from torch.utils import _pytree as trees

from seglight.array_types import Size
from seglight.errors import UsageError
from seglight.models.explain import explain_first_batch, reason
from seglight.models.fitting import MISFITS, in_eval_mode, mmseg_meta, shapes_of, training_size
from seglight.models.loss_items import without_wrong_accuracy
from seglight.models.shapes import NeedsValuesError, blank, on_shapes

#: A size for which the loss items take little time.
_SMALL: Size = (64, 64)


def check_first_batch(segmentor: BaseSegmentor, images: int, size: Size) -> Size:
    """Check that a segmentor can train on batches of a size, which takes a fraction of a second.

    Args:
        segmentor: an mmseg segmentor, which stays unchanged.
        images: in a batch.
        size: height and width of the images.

    Returns:
        The size to which the segmentor needs the images padded.

    Raises:
        ConfigError: if it cannot train on such batches.
    """
    dtype = next(segmentor.parameters()).dtype
    needed = training_size(segmentor, blank(images, 3, *size, dtype=dtype))
    try:
        _train_on_shapes(segmentor, blank(images, 3, *needed, dtype=dtype), _no_losses)
    except NeedsValuesError:
        return needed
    except MISFITS as error:
        if distributed.is_available() and distributed.is_initialized():
            return needed  # some heads average over processes, which fails without values
        height, width = size
        cause = reason(_error_on_values(segmentor, needed) or error)[:200]
        raise explain_first_batch(error, 0) or UsageError(
            f'model.segmentor cannot train on images of {width}x{height} pixels: {cause} (--debug shows where)'
        ) from error
    return needed


def _error_on_values(segmentor: BaseSegmentor, size: Size) -> Exception | None:
    """Return the error for a black image, if there is one: on shapes alone, torch names no sizes and channels."""
    weight = next(segmentor.parameters())
    image = weight.new_zeros(1, 3, *size)
    try:
        with in_eval_mode(segmentor), torch.no_grad():
            segmentor.encode_decode(image, mmseg_meta(image))
    except MISFITS as error:
        return error
    return None


def loss_names(segmentor: BaseSegmentor) -> list[str] | None:
    """Return the names of the loss items of a training step, None if only the first step shows them."""
    dtype = next(segmentor.parameters()).dtype
    heads = dict(segmentor.named_modules())
    try:
        size = training_size(segmentor, blank(2, 3, *_SMALL, dtype=dtype))
        items = _train_on_shapes(segmentor, blank(2, 3, *size, dtype=dtype), partial(_real_losses, heads))
    except Exception:  # the check of the batch or the first step reports it
        return None
    return list(without_wrong_accuracy(items, segmentor))


def _train_on_shapes(segmentor: BaseSegmentor, images: Tensor, losses: Any) -> dict[str, Any]:
    """Run the training pass on shapes, up to the logits of each head.

    Args:
        segmentor: an mmseg segmentor.
        images: without values.
        losses: replaces each head's `losses`; receives the head's name first.

    Raises:
        NeedsValuesError: if it needs values.
    """
    shapes = shapes_of(segmentor)
    if shapes is None:
        raise NeedsValuesError
    with _replaced_losses(shapes, losses), on_shapes(), torch.no_grad():
        mask = blank(len(images), 1, *images.shape[2:], dtype=torch.int64)
        items: dict[str, Any] = shapes.train().forward_train(images, mmseg_meta(images), mask)
    return items


@contextmanager
def _replaced_losses(shapes: BaseSegmentor, losses: Any) -> Iterator[None]:
    """Replace each head's `losses`, and give them back: the copy of shapes is kept for as long as the segmentor."""
    heads = {name: head for name, head in shapes.named_modules() if isinstance(head, BaseDecodeHead)}
    for name, head in heads.items():
        head.losses = partial(losses, name)
    try:
        yield
    finally:
        for head in heads.values():
            del head.losses


def _no_losses(_name: str, *_: Any, **__: Any) -> dict[str, Tensor]:
    """Return no loss: losses select pixels by their labels, which have no values here."""
    return {}


def _real_losses(heads: dict[str, Any], name: str, *arguments: Any, **options: Any) -> dict[str, Tensor]:
    """Return the losses of a head for logits and labels of zeros, of the shapes of those without values."""
    with torch.device('cpu'):
        zeros = partial(torch.zeros_like, device='cpu')
        arguments, options = trees.tree_map_only(Tensor, zeros, (arguments, options))
        real: dict[str, Tensor] = heads[name].losses(*arguments, **options)
    return real
