"""Resizing like OpenCV, compared with OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from seglight.models.inference import opencv
from seglight.models.inference.opencv import resized_as_opencv


@pytest.mark.parametrize('band', [1, 2**26])
def test_pixels_equal_opencvs(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, '_BAND', band)
    rng = np.random.default_rng(0)
    sizes = [((64, 48), (32, 24)), ((64, 48), (32, 48)), ((30, 41), (60, 82)), ((1, 1), (5, 7)), ((9, 25), (18, 1))]
    sizes += [((36, 48), (int(36 * scale), int(48 * scale))) for scale in (0.5, 0.75, 1.25, 1.5, 1.75)]
    sizes += [((int(a), int(b)), (int(c), int(d))) for a, b, c, d in rng.integers(1, 70, (20, 4))]
    for source, target in sizes:
        images = rng.integers(0, 256, (2, *source, 3), dtype=np.uint8)
        found = resized_as_opencv(torch.from_numpy(images).permute(0, 3, 1, 2), target)
        expected = [cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR) for image in images]
        assert (found.permute(0, 2, 3, 1).numpy() == np.stack(expected)).all(), (source, target)
