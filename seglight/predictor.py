"""Predicting from Python, without a trainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seglight.array_types import UInt8Array
from seglight.batch import ImageMeta
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.settings import Settings
from seglight.data.images import read_image
from seglight.data.transforms import build_pipeline, padding_label, transform_for_evaluation
from seglight.data.value_range import parse_range
from seglight.errors import DataError
from seglight.models.inference.logits import Prediction
from seglight.models.inference.views import Views, make_views

#: An image: its path, or uint8 `[H, W, 3]` in RGB, or uint8 `[H, W]` in grey.
Image = str | Path | UInt8Array

#: The views of `tta=True`: three scales, each mirrored too.
VIEWS = Views(make_views((0.75, 1.0, 1.25), ('horizontal',), (0,)))


class Predicted(NamedTuple):
    """`mask`: uint8 `[H, W]`. `probabilities`: float32 `[C, H, W]`; C is 1 for a binary head with a sigmoid."""

    mask: UInt8Array
    probabilities: npt.NDArray[np.float32]


class Predictor:
    """Predicts the masks of images with a checkpoint, exactly as `seglight predict` does.

    Args:
        checkpoint: a path, or relative to `work_dirs`; the folder of a run means its best.
        device: such as `cuda:1`; by default a GPU where there is one.
        trust_checkpoint: whether the file is one's own, so that it may name classes of any package, which runs code.

    Attributes:
        module: the `Segmentor`.
        classes: names of the classes; label i of a mask is class i.
        palette: an RGB colour in 0 to 255 for each class.

    Raises:
        CheckpointError: if the checkpoint is missing or cannot be used.
    """

    def __init__(self, checkpoint: str | Path, device: str | None = None, trust_checkpoint: bool = False) -> None:
        found = Checkpoint.find(checkpoint, trust_checkpoint, mapped=True)
        self.module = found.module()
        self.module.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.classes, self.palette = self.module.classes, self.module.palette
        stored = found.stored(('data', 'seed_everything'), False, 'prediction')
        stored.check(Settings(), [('data', name) for name in ('train', 'val', 'test', 'split')])
        settings = stored.settings.values
        data = settings.get('data') or {}
        ignore_index, count = data.get('ignore_index', 255), len(self.classes)
        transforms = data.get('val_transforms') or []
        self._transforms = build_pipeline(
            transforms, 'data.val_transforms', ignore_index, self.classes, evaluation=True
        )
        self._padding = padding_label(count, ignore_index)
        self._value_range = parse_range(data.get('image_range'))
        seed = settings.get('seed_everything')
        self._seed = data.get('seed', 42) if seed is None or isinstance(seed, bool) else seed

    def predict(self, image: Image | Sequence[Image], tta: Views | bool = False, probabilities: bool = False) -> Any:
        """Return the mask of an image, or of each of a list of images.

        Args:
            image: a path, or uint8 `[H, W, 3]` in RGB or `[H, W]` in grey; or a list or tuple of them.
            tta: test-time augmentation: true for three scales, each mirrored too, or views of one's own.
            probabilities: return `Predicted`, with the class probabilities, in place of the mask.

        Returns:
            uint8 `[H, W]` at the size of the image, or `Predicted`; a list of them for a list.

        Raises:
            DataError: if an image cannot be read or has another shape or dtype.
        """
        many = isinstance(image, (list, tuple))
        results: list[Any] = []
        for index, each in enumerate(cast(list[Any], image if many else [image])):
            predicted = self._predict(each, index, tta, probabilities)
            mask, kept = predicted.mask.cpu().numpy(), predicted.probabilities
            results.append(mask if kept is None else Predicted(mask, kept.cpu().numpy()))
        return results if many else results[0]

    def _predict(self, image: Image, index: int, tta: Views | bool, probabilities: bool) -> Prediction:
        """Predict one image; its place in the list is that in the data set, on which random transforms depend."""
        pixels = read_image(Path(image), self._value_range) if isinstance(image, (str, Path)) else _checked(image)
        name = str(image) if isinstance(image, (str, Path)) else f'{index} of those given'
        stream = (self._seed, 0, index)  # as in the first epoch of a data set
        seen, size = transform_for_evaluation(self._transforms, pixels, self._padding, stream, name)
        height, width = pixels.shape[:2]
        tensor: Tensor = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))[None].to(self.module.device)
        meta: ImageMeta = {'path': name, 'name': name, 'size': size, 'original_size': (height, width)}
        module = self.module
        module.keep_probabilities = probabilities
        module.views = VIEWS if tta is True else tta or None
        with torch.inference_mode():
            return module.predict_step({'image': tensor, 'meta': [meta]}, 0)[0]


def _checked(image: UInt8Array) -> UInt8Array:
    """Return an array as uint8 `[H, W, 3]`."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, 'dtype', type(image).__name__)
        raise DataError(f'an image must be a path or a uint8 array, got {found}')
    if image.ndim == 2:
        return np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3:
        raise DataError(f'an image array must be RGB [H, W, 3] or [H, W], got {list(image.shape)}')
    return image
