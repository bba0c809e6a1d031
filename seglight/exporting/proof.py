"""Prove that an exported file predicts the same masks as its checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from seglight.batch import Batch, without_padding
from seglight.errors import UsageError
from seglight.models.inference.logits import encode_decode, normalize, predict_mask, threshold
from seglight.models.metrics import SegmentationMetrics
from seglight.models.segmentor import Segmentor
from seglight.runtimes.base import Runtime
from seglight.runtimes.metadata import Comparison, Metadata

#: Sizes of the random images, and how many are predicted together.
SIZES = ((24, 31), (97, 130), (144, 75))
COUNTS = (1, 2)

#: Required share of equal pixels by precision.
REQUIRED = {'float32': 0.9999, 'float16': 0.999, 'int8': 0.999}


def random_images(metadata: Metadata) -> Iterator[Tensor]:
    """Yield noise of three sizes in batches of two sizes, uint8 `[B, 3, H, W]`; the same in every call.

    A file for one size gets images of that size alone.
    """
    generator = torch.Generator().manual_seed(0)
    only, largest = metadata.size, metadata.largest or (max(SIZES)[0] * 4,) * 2
    for height, width in [tuple(only)] if only else SIZES:
        size = (height, width) if only else (min(height, largest[0]), min(width, largest[1]))
        for count in COUNTS:
            yield torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


def compare(module: Segmentor, runtime: Runtime, images: Iterable[Tensor]) -> Comparison:
    """Compare a file with the segmentor that it is from.

    Args:
        module: the segmentor, in eval mode on the CPU.
        runtime: the file.
        images: uint8 `[B, 3, H, W]`.

    Raises:
        UsageError: if the file returns NaN or infinity.
    """
    count = equal = pixels = 0
    largest = 0.0
    minimum = threshold(module.segmentor)
    for image in images:
        with torch.inference_mode():
            expected = encode_decode(module.segmentor, normalize(image, module.mean, module.std)).float()
        found = runtime(image)
        if runtime.metadata.output == 'logits':
            if not found.isfinite().all():
                raise UsageError('export: the file returns logits that are infinite or not a number')
            largest = max(largest, float((found - expected).abs().max()))
            found = _mask(found, minimum)
        equal += int((found == _mask(expected, minimum)).sum())
        pixels += found.numel()
        count += len(image)
    return Comparison(
        images=count,
        equal_pixels=equal / max(pixels, 1),
        difference=largest if runtime.metadata.output == 'logits' else None,
    )


def miou(module: Segmentor, batches: Iterable[Batch]) -> float:
    """Return the mIoU on labelled images, in 0 to 1; NaN if no pixel is labelled."""
    metrics = SegmentationMetrics(len(module.classes), module.ignore_index)
    for batch in batches:
        with torch.inference_mode():
            predictions = module.predict(batch)
        for prediction, mask in zip(predictions, batch['mask'], strict=True):
            metrics.update(prediction.mask, without_padding(mask, prediction.mask))
    return float(metrics.compute()['mIoU'])


def _mask(logits: Tensor, minimum: float) -> Tensor:
    return predict_mask(logits.sigmoid() if logits.shape[1] == 1 else logits, minimum)
