"""Generated images with masks: smooth coloured regions with noise, as JPEG and PNG files of the usual sizes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

#: Different images; further files are links to them, which are decoded like any other.
DIFFERENT = 32


def write_data(root: Path, side: int, counts: Mapping[str, int], classes: int) -> None:
    """Write `img_dir/{split}/*.jpg` and `ann_dir/{split}/*.png`, the same in every call.

    Args:
        root: created; must not exist.
        side: height and width.
        counts: number of images of each split.
        classes: number of classes in the masks.
    """
    for number, (split, count) in enumerate(counts.items()):
        images, masks = root / 'img_dir' / split, root / 'ann_dir' / split
        images.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index in range(count):
            image, mask = images / f'{index:04}.jpg', masks / f'{index:04}.png'
            if index < DIFFERENT:
                _write(image, mask, side, classes, np.random.default_rng((number, index)))
            else:
                image.hardlink_to(images / f'{index % DIFFERENT:04}.jpg')
                mask.hardlink_to(masks / f'{index % DIFFERENT:04}.png')


def _write(image: Path, mask: Path, side: int, classes: int, rng: np.random.Generator) -> None:
    scores = [cv2.resize(rng.random((6, 6), dtype=np.float32), (side, side)) for _ in range(classes)]
    labels = np.argmax(scores, axis=0).astype(np.uint8)
    colours = rng.integers(0, 256, (classes, 3))
    noisy = colours[labels] + rng.normal(0, 12, (side, side, 3))
    cv2.imwrite(str(image), noisy.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    cv2.imwrite(str(mask), labels)
