"""The part of the LightningModule that validation, test and predict share: from a batch to masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from mmseg.models.segmentors import BaseSegmentor
from pytorch_lightning import LightningModule
from torch import Tensor

from seglight.array_types import Size
from seglight.batch import Batch
from seglight.errors import UsageError
from seglight.models.inference.logits import (
    Prediction,
    both_classes,
    class_probabilities,
    coarse_logits,
    confidence,
    each_size,
    image_logits,
    logits_bands,
    normalize,
    predict_mask,
    strided,
    threshold,
)
from seglight.models.inference.options import PLAIN, Options, options_of


class PredictingModule(LightningModule):
    """Predicts each image of a batch at the size of its file; options add views and an ensemble.

    Args:
        mean: RGB mean in 0 to 255, subtracted on the device.
        std: RGB standard deviation in 0 to 255.
    """

    segmentor: BaseSegmentor
    mean: Tensor
    std: Tensor
    channels_last = False  #: whether the backbone takes images in torch's channels-last memory format

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Not persistent: a checkpoint already holds them as hyperparameters.
        self.register_buffer('mean', torch.tensor(mean), persistent=False)
        self.register_buffer('std', torch.tensor(std), persistent=False)
        self._class_order: list[int] | None = None

    def reorder(self, order: Sequence[int]) -> None:
        """Predict class `order[i]` of the segmentor as class i from now on.

        Raises:
            ConfigError: for a binary head with one channel, whose threshold belongs to the second class.
        """
        if self.segmentor.out_channels == 1:
            raise UsageError('a head with one channel cannot reorder its classes; use the order of its training')
        self._class_order = list(order)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Prediction]:
        """Return the prediction for each image, with the options of the trainer's callbacks."""
        return self.predict(batch, options_of(self._trainer))

    def predict(self, batch: Batch, options: Options = PLAIN) -> list[Prediction]:
        """Return the prediction for each image, at the size of its file.

        Args:
            batch: the images; no prediction depends on the other images.
            options: how to predict, and what to keep besides the masks.
        """
        return self._each_size(partial(self._predict, options=options), batch)

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return the logits of each image, float32 `[C, H, W]` at the size of its file."""
        return self._each_size(self._logits, batch)

    def probabilities(self, image: Tensor, original_size: Size, options: Options = PLAIN) -> Tensor:
        """Return the class probabilities of images of one size, merged over views and over the ensemble.

        Args:
            image: uint8 `[B, 3, H, W]`, RGB, without padding.
            original_size: height and width of the result.
            options: the views and the ensemble; neither by default.

        Returns:
            float32 `[B, C, *original_size]`; C is 1 if all heads of the ensemble are binary with a sigmoid.
        """
        if options.views:
            own = options.views.probabilities(self._coarse_logits, image, original_size, threshold(self.segmentor))
        else:
            own = class_probabilities(self._logits(image, original_size))
        if not options.ensemble:
            return own
        total, votes = own.mul_(options.weight), options.weight
        for other, weight in options.ensemble:
            vote = other.probabilities(image, original_size, Options(options.views)).mul_(weight)
            if vote.shape[1] != total.shape[1]:  # the ensemble mixes sigmoid and softmax heads
                total, vote = both_classes(total, votes), both_classes(vote, weight)
            total += vote
            votes += weight
        return total.div_(votes)

    def _each_size(self, infer: Callable[[Tensor, Size], Any], batch: Batch) -> list[Any]:
        meta = batch['meta']
        sizes, original_sizes = [item['size'] for item in meta], [item['original_size'] for item in meta]
        return each_size(infer, batch['image'], sizes, original_sizes)

    def _predict(self, image: Tensor, original_size: Size, options: Options) -> list[Prediction]:
        """Predict images of one size, band by band if no probabilities are needed."""
        if options.probabilities or options.views or options.ensemble or options.decide:
            return self._predict_whole(image, original_size, options)
        bands = list(self._predicted_bands(image, original_size, options.confidence))
        masks = torch.cat([mask for mask, _ in bands], 1)
        if not options.confidence:
            return [Prediction(mask) for mask in masks]
        confidences = torch.cat([part for _, part in bands if part is not None], 1)
        return [Prediction(mask, None, part) for mask, part in zip(masks, confidences, strict=True)]

    def _predict_whole(self, image: Tensor, original_size: Size, options: Options) -> list[Prediction]:
        """Predict images of one size from the class probabilities of the whole images."""
        probabilities = self.probabilities(image, original_size, options)
        voting = options.views is not None and options.views.merge == 'vote'
        minimum = 0.5 if voting else threshold(self.segmentor)
        masks = options.decide(probabilities) if options.decide else predict_mask(probabilities, minimum)
        none: list[None] = [None] * len(image)
        confidences = confidence(strided(probabilities), strided(masks)) if options.confidence else none
        kept = probabilities if options.probabilities else none
        return [Prediction(*each) for each in zip(masks, kept, confidences, strict=True)]

    def _predicted_bands(
        self, image: Tensor, original_size: Size, confident: bool
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield masks, and confidences if requested, of images of one size from top to bottom."""
        top, minimum = 0, threshold(self.segmentor)
        for band in map(self._ordered, logits_bands(self.segmentor, image, original_size, self._normalize)):
            mask = predict_mask(band.sigmoid() if band.shape[1] == 1 else band, minimum)
            kept = confidence(class_probabilities(strided(band, top)), strided(mask, top)) if confident else None
            yield mask, kept
            top += band.shape[2]

    def _logits(self, image: Tensor, original_size: Size) -> Tensor:
        return self._ordered(image_logits(self.segmentor, image, original_size, self._normalize))

    def _coarse_logits(self, image: Tensor) -> tuple[Tensor, bool]:
        logits, align_corners = coarse_logits(self.segmentor, image, self._normalize)
        return self._ordered(logits), align_corners

    def _ordered(self, logits: Tensor) -> Tensor:
        """Return logits `[B, C, ...]` in the order of the module's classes."""
        return logits if self._class_order is None else logits[:, self._class_order]

    def _normalize(self, image: Tensor, sizes: Sequence[Size] = (), padding: Tensor | None = None) -> Tensor:
        """Normalise in float32, then convert to the dtype (`precision: bf16-true`) and memory format of the weights."""
        result = normalize(image, self.mean.float(), self.std.float(), sizes, padding)
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        weight = next(self.segmentor.parameters(), result)  # an exported model has no parameters
        return result.to(weight.dtype, memory_format=memory_format)


def needs_segmentor(module: LightningModule) -> PredictingModule:
    """Return a module as a `PredictingModule`, for callbacks that change how it predicts.

    Raises:
        UsageError: if it is another module.
    """
    if not isinstance(module, PredictingModule):
        raise UsageError(f'this callback works with seglight.models.Segmentor, not with {type(module).__name__}')
    return module
