"""Predict from Python, without a trainer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL.Image import Image as PILImage

from seglight.array_types import UInt8Array
from seglight.batch import Batch, ImageMeta, Item, collate
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.settings import Settings
from seglight.cores import cores
from seglight.data.formats import reading
from seglight.data.images import read_image, rgb_of
from seglight.data.padding import padding_label
from seglight.data.transforms import build_pipeline, transform_for_evaluation
from seglight.data.value_range import parse_range
from seglight.errors import UsageError
from seglight.host_copy import HostCopy
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views
from seglight.models.segmentor import Segmentor

#: An image: its path, an array `[H, W, 3]` RGB or `[H, W]` grey, or a Pillow image.
Image = str | Path | npt.NDArray[Any] | PILImage

#: Several images.
Images = list[str] | list[Path] | list[npt.NDArray[Any]] | list[PILImage] | list[Image] | tuple[Image, ...]

#: Images that are read before a batch of one size is complete, in batches.
READ_AHEAD = 4

#: Maximum number of threads that read images.
READERS = 8

#: The views of `tta=True`: three scales, each also mirrored.
VIEWS = Views(make_views((0.75, 1.0, 1.25), ('horizontal',), (0,)))


class Predicted(NamedTuple):
    """`mask`: uint8 `[H, W]`. `probabilities`: float32 `[C, H, W]`; C is 1 for a binary head with a sigmoid."""

    mask: UInt8Array
    probabilities: npt.NDArray[np.float32]


class Predictor:
    """Predicts the masks of images with a checkpoint, exactly as `seglight predict` does.

    Args:
        checkpoint: a path, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        device: for example `cuda:1`; by default a GPU if there is one.
        trust_checkpoint: whether the file is your own; it may then name classes of any package, which runs code.
        segmentor: the subclass of `Segmentor` that trained it, if it changes predictions.

    Attributes:
        module: the `Segmentor`.
        classes: names of the classes; label i of a mask is class i.
        palette: an RGB colour in 0 to 255 for each class.

    Raises:
        CheckpointError: if the checkpoint is missing or cannot be used.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        device: str | None = None,
        trust_checkpoint: bool = False,
        segmentor: type[Segmentor] | None = None,
    ) -> None:
        opened = Checkpoint.find(checkpoint, trust_checkpoint, mapped=True)
        self.module = opened.module(segmentor)
        self.module.to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self.classes, self.palette = self.module.classes, self.module.palette
        stored = opened.stored(('data', 'seed_everything'), False, 'prediction')
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

    @overload
    def predict(
        self, image: Image, tta: Views | bool = ..., probabilities: Literal[False] = ..., batch_size: int = ...
    ) -> UInt8Array: ...
    @overload
    def predict(
        self, image: Image, tta: Views | bool = ..., *, probabilities: Literal[True], batch_size: int = ...
    ) -> Predicted: ...
    @overload
    def predict(
        self, image: Images, tta: Views | bool = ..., probabilities: Literal[False] = ..., batch_size: int = ...
    ) -> list[UInt8Array]: ...
    @overload
    def predict(
        self, image: Images, tta: Views | bool = ..., *, probabilities: Literal[True], batch_size: int = ...
    ) -> list[Predicted]: ...
    def predict(
        self, image: Image | Images, tta: Views | bool = False, probabilities: bool = False, batch_size: int = 4
    ) -> Any:
        """Return the mask of an image, or of each of a list of images.

        Args:
            image: a path, an array `[H, W, 3]` RGB or `[H, W]` grey, or a Pillow image, which are treated like the same
                image in a file: turned upright, without transparency, more than 8 bits by the run's
                `data.image_range`; or a list or tuple of them.
            tta: test-time augmentation: true for three scales, each also mirrored, or your own views.
            probabilities: return `Predicted`, with the class probabilities, instead of the mask.
            batch_size: maximum number of images of a list that the model predicts together; they have the same size.

        Returns:
            uint8 `[H, W]` at the size of the image, or `Predicted`; a list of them for a list or tuple.

        Raises:
            DataError: if an image cannot be read or has another shape or dtype.
            UsageError: if the batch size is below 1, or `tta` is something else.
        """
        if not isinstance(tta, (bool, Views)):
            raise UsageError(f'tta must be True, False or seglight.models.inference.views.Views, got {tta!r:.60}')
        if batch_size < 1:
            raise UsageError(f'batch_size must be at least 1, got {batch_size}')
        options = Options(VIEWS if tta is True else tta or None, probabilities=probabilities)
        many = isinstance(image, (list, tuple))
        images = cast(list[Image], image if many else [image])
        items = (self._item(pixels, name, at) for at, (pixels, name) in enumerate(self._read(images, batch_size)))
        results: list[Any] = [None] * len(images)
        running: tuple[list[int], _Copies] | None = None
        for batch in _batches(items, batch_size):
            before, running = running, ([at for at, _ in batch], self._predict([item for _, item in batch], options))
            _fill(results, before)  # while the device predicts the next batch
        _fill(results, running)
        return results if many else results[0]

    def _read(self, images: Sequence[Image], ahead: int) -> Iterator[tuple[UInt8Array, str]]:
        """Yield the pixels and the name of each image, in order; threads read the next `ahead` files."""

        def read(index: int) -> tuple[UInt8Array, str]:
            image = images[index]
            if isinstance(image, (str, Path)):
                return read_image(Path(image), self._value_range), str(image)
            name = f'image {index}'
            with reading(name):
                return rgb_of(image, self._value_range), name

        if len(images) == 1:
            yield read(0)
            return
        waiting: deque[Future[tuple[UInt8Array, str]]] = deque()
        with ThreadPoolExecutor(min(READERS, cores()), thread_name_prefix='read') as pool:
            for index in range(len(images)):
                waiting.append(pool.submit(read, index))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _item(self, pixels: UInt8Array, name: str, index: int) -> Item:
        """Transform an image; random transforms depend on its index, as in a data set."""
        stream = (self._seed, 0, index)  # as in the first epoch of a data set
        seen, size = transform_for_evaluation(self._transforms, pixels, self._padding, stream, name)
        tensor = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))
        original_size = (pixels.shape[0], pixels.shape[1])
        meta: ImageMeta = {'path': name, 'name': name, 'size': size, 'original_size': original_size}
        return {'image': tensor, 'mask': None, 'meta': meta}

    def _predict(self, items: Sequence[Item], options: Options) -> _Copies:
        """Start to predict a batch, and to copy masks and probabilities to the host."""
        batch: Batch = collate(items)
        device = self.module.device
        image = batch['image'].pin_memory() if device.type == 'cuda' else batch['image']
        batch['image'] = image.to(device, non_blocking=True)
        self.module.eval()  # whoever has trained it meanwhile
        with torch.inference_mode():
            predictions = self.module.predict(batch, options)
            return [
                (HostCopy(each.mask), None if each.probabilities is None else HostCopy(each.probabilities))
                for each in predictions
            ]


#: The masks of a batch, and their probabilities if they are kept.
_Copies = list[tuple[HostCopy, HostCopy | None]]


def _fill(results: list[Any], batch: tuple[list[int], _Copies] | None) -> None:
    """Put the predictions of a batch in their places; wait until they are copied."""
    for at, (mask, probabilities) in zip(*batch, strict=True) if batch else ():
        results[at] = mask.array() if probabilities is None else Predicted(mask.array(), probabilities.array())


def _batches(items: Iterable[Item], batch_size: int) -> Iterator[list[tuple[int, Item]]]:
    """Yield batches of items of one size with their indices; at most `READ_AHEAD` batches are in memory."""
    groups: dict[Any, list[tuple[int, Item]]] = {}
    for index, item in enumerate(items):
        meta = item['meta']
        key = item['image'].shape, meta['size'], meta['original_size']
        groups.setdefault(key, []).append((index, item))
        if len(groups[key]) == batch_size:
            yield groups.pop(key)
        elif sum(map(len, groups.values())) >= READ_AHEAD * batch_size:
            yield groups.pop(max(groups, key=lambda each: len(groups[each])))
    yield from groups.values()
