"""Logits and masks at the original image size, shared by validation, test and predict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from mmseg.models.segmentors import BaseSegmentor, EncoderDecoder
from mmseg.ops import resize
from torch import Tensor, nn

from seglight.array_types import Size
from seglight.models.fitting import call_padded, mmseg_meta, window_size, windows_of_size
from seglight.models.highest import highest
from seglight.models.inference.sliding import sliding_bands

#: Turns uint8 images `[B, 3, H, W]` into input for the backbone.
Prepare = Callable[[Tensor], Tensor]

STRIDE = 4  #: confidence is computed only for every fourth pixel in both directions, to keep it cheap

AS_IS: Prepare = nn.Identity()  #: for images that are already prepared


class Prediction(NamedTuple):
    """The prediction for one image, at the size of its file.

    `mask`: uint8 `[H, W]`. `probabilities`: float32 `[C, H, W]`, or None if not requested; C is 1 for a
    binary head with a sigmoid. `confidence`: the probability of the predicted class at every `STRIDE`-th pixel
    in both directions, float32 `[ceil(H / STRIDE), ceil(W / STRIDE)]`, or None if not requested.
    """

    mask: Tensor
    probabilities: Tensor | None = None
    confidence: Tensor | None = None


def normalize(
    image: Tensor, mean: Tensor, std: Tensor, sizes: Sequence[Size] = (), padding: Tensor | None = None
) -> Tensor:
    """Turn uint8 images into input for the backbone; padding becomes zero, as in mmseg.

    Args:
        image: uint8 `[B, 3, H, W]`, RGB, padded on the right and at the bottom.
        mean: float `[3]`, in 0 to 255.
        std: float `[3]`, in 0 to 255.
        sizes: height and width of each image without padding; empty if nothing is padded.
        padding: further padded pixels, bool `[B, H, W]`.

    Returns:
        float32 `[B, 3, H, W]`.
    """
    result = (image.float() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for single, (height, width) in zip(result, sizes, strict=bool(sizes)):
        single[:, height:] = 0
        single[:, :, width:] = 0
    return result if padding is None else result.masked_fill_(padding[:, None], 0)


def logits_bands(
    segmentor: BaseSegmentor, image: Tensor, original_size: Size, prepare: Prepare = AS_IS
) -> Iterator[Tensor]:
    """Yield the logits of images of one size from top to bottom, whole or by sliding windows as `test_cfg` sets.

    A sliding window over images at their original size yields one band for each row of windows, so
    that memory is bounded by the width of the image; otherwise there is one band.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: `[B, 3, H, W]` without padding, as `prepare` takes it.
        original_size: height and width that the logits are resized to.
        prepare: applied to an image, or to the rows that a row of windows needs.

    Yields:
        float32 `[B, C, rows, W]`; C is 1 for a binary head with a sigmoid.
    """
    windows = _windows(segmentor, image, prepare)
    if windows is None:
        bands = iter([encode_decode(segmentor, prepare(image))])
    else:
        bands = sliding_bands(partial(encode_decode, segmentor), image, prepare, windows)
    if tuple(image.shape[2:]) != tuple(original_size):
        whole = _joined(bands)
        # As in mmseg's `whole_inference` and `slide_inference`.
        bands = iter([resize(whole, original_size, None, 'bilinear', segmentor.align_corners, warning=False)])
    for band in bands:
        yield band.float()


def image_logits(segmentor: BaseSegmentor, image: Tensor, original_size: Size, prepare: Prepare = AS_IS) -> Tensor:
    """Return the bands of `logits_bands` as one tensor, float32 `[B, C, *original_size]`."""
    return _joined(logits_bands(segmentor, image, original_size, prepare))


def encode_decode(segmentor: BaseSegmentor, image: Tensor) -> Tensor:
    """Return the logits of images of one size, padding them temporarily if the segmentor cannot take that size.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: `[B, 3, H, W]`, normalised.

    Returns:
        float `[B, C, H, W]`.
    """
    logits = call_padded(segmentor, image, lambda fitting: segmentor.encode_decode(fitting, mmseg_meta(fitting)))
    return logits[:, :, : image.shape[2], : image.shape[3]]


def coarse_logits(segmentor: BaseSegmentor, image: Tensor, prepare: Prepare = AS_IS) -> tuple[Tensor, bool]:
    """Return logits before resizing where possible, and `align_corners` for resizing them.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: `[B, 3, H, W]` without padding, as `prepare` takes it.
        prepare: applied to the image.

    Returns:
        float `[B, C, h, w]`, and `align_corners`.
    """
    plain = type(segmentor).encode_decode is EncoderDecoder.encode_decode  # it only resizes after the head
    if not plain or _windows(segmentor, image, prepare) is not None:
        return image_logits(segmentor, image, (image.shape[2], image.shape[3]), prepare), segmentor.align_corners
    height, width = image.shape[2:]

    def call(fitting: Tensor) -> Tensor:
        if fitting.shape[2:] == image.shape[2:]:
            coarse: Tensor = segmentor._decode_head_forward_test(segmentor.extract_feat(fitting), mmseg_meta(fitting))
            return coarse
        whole: Tensor = segmentor.encode_decode(fitting, mmseg_meta(fitting))
        return whole[:, :, :height, :width]  # padding is cropped at image size, not at the size of the head

    logits = call_padded(segmentor, prepare(image), call)
    return logits, segmentor.align_corners


def each_size(
    infer: Callable[[Tensor, Size], Sequence[Any]], image: Tensor, sizes: Sequence[Size], original_sizes: Sequence[Size]
) -> list[Any]:
    """Apply `infer` to the images of a padded batch, so that no result depends on other images.

    Images of the same size go together, without padding.

    Args:
        infer: maps `[b, 3, H, W]` and an original size to b results.
        image: `[B, 3, H, W]`, padded on the right and at the bottom.
        sizes: height and width of each image without padding.
        original_sizes: height and width of each file.

    Returns:
        The B results, in the order of the batch.
    """
    results: list[Any] = [None] * len(sizes)
    pairs = list(zip(sizes, original_sizes, strict=True))
    for pair in dict.fromkeys(pairs):
        members = [index for index, other in enumerate(pairs) if other == pair]
        (height, width), original_size = pair
        together = _members(image, members)[:, :, :height, :width]
        for index, single in zip(members, infer(together, original_size), strict=True):
            results[index] = single
    return results


def _members(image: Tensor, members: Sequence[int]) -> Tensor:
    """Return some images of a batch `[B, ...]`; indexing with a list would wait for a GPU to receive the list."""
    first, count = members[0], len(members)
    if members[-1] - first + 1 == count:
        return image[first : first + count]
    return torch.stack([image[index] for index in members])


def class_probabilities(logits: Tensor) -> Tensor:
    """Return the probability of each class: a softmax over dim 1, or a sigmoid for one channel."""
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def threshold(segmentor: BaseSegmentor) -> float:
    """Return the probability above which a binary head predicts class 1; for a cascade, that of its last head."""
    heads: Any = getattr(segmentor, 'decode_head', None)
    if isinstance(heads, nn.ModuleList):
        heads = heads[-1]
    return getattr(heads, 'threshold', None) or 0.0


def predict_mask(scores: Tensor, threshold: float) -> Tensor:
    """Return the class of each pixel.

    Args:
        scores: float `[B, C, H, W]`, logits or probabilities; with one channel, probabilities.
        threshold: the probability above which one channel means class 1.

    Returns:
        uint8 `[B, H, W]`.
    """
    return (scores[:, 0] > threshold).to(torch.uint8) if scores.shape[1] == 1 else highest(scores)


def both_classes(probabilities: Tensor, total: float = 1.0) -> Tensor:
    """Return probabilities `[B, 1, H, W]` of class 1 as those of classes 0 and 1, which sum to `total`.

    Probabilities of several classes are returned unchanged.
    """
    return probabilities if probabilities.shape[1] > 1 else torch.cat([total - probabilities, probabilities], 1)


def strided(values: Tensor, top: int = 0) -> Tensor:
    """Return every `STRIDE`-th pixel in both directions of `[..., rows, W]`, which start at row `top` of an image."""
    return values[..., -top % STRIDE :: STRIDE, ::STRIDE]


def confidence(probabilities: Tensor, mask: Tensor) -> Tensor:
    """Return the probability of the predicted class of each pixel.

    Args:
        probabilities: float `[B, C, H, W]`; C is 1 for a binary head with a sigmoid.
        mask: predicted classes, uint8 `[B, H, W]`.

    Returns:
        float `[B, H, W]`.
    """
    if probabilities.shape[1] == 1:
        return torch.where(mask == 1, probabilities[:, 0], 1 - probabilities[:, 0])
    return probabilities.gather(1, mask[:, None].long())[:, 0]


def _joined(bands: Iterator[Tensor]) -> Tensor:
    """Concatenate bands vertically; a single band is not copied."""
    parts = list(bands)
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _windows(segmentor: BaseSegmentor, image: Tensor, prepare: Prepare) -> Mapping[str, Any] | None:
    """Return the settings of sliding windows for an image, None for whole inference.

    A backbone with a fixed size processes larger images in windows of that size, whatever `test_cfg` sets.
    """
    test_cfg: Mapping[str, Any] = segmentor.test_cfg
    if test_cfg.get('mode', 'whole') != 'whole':
        return test_cfg
    fixed = window_size(segmentor, image, prepare)
    return None if fixed is None else windows_of_size(fixed)
