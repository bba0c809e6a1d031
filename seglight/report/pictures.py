"""Pictures of an image with its mask, its prediction and their differences."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np

from seglight.array_types import UInt8Array
from seglight.data.images import read_image
from seglight.data.value_range import ValueRange
from seglight.errors import DataError
from seglight.palette import overlay
from seglight.pictures import contact_sheet, encode_jpeg
from seglight.report.evaluation import Evaluation, Example

PANEL_WIDTH = 300  #: width of each of the four panels in pixels
WRONG = (230, 30, 30)
IGNORED = (70, 110, 200)


def example_picture(example: Example, evaluation: Evaluation, value_range: ValueRange | None = None) -> str | None:
    """Return image, labels, prediction and error map, two by two, as the data URL of a JPEG.

    Args:
        example: the image with its masks.
        evaluation: the evaluation that it belongs to.
        value_range: the values of black and white in images of more than 8 bits.

    Returns:
        None if the image file can no longer be read, or has another size.
    """
    try:
        image = read_image(Path(example.path), value_range)
    except DataError:
        return None
    if image.shape[:2] != example.mask.shape:
        return None
    wrong = error_map(image, example.mask, example.prediction, evaluation.ignore_index)
    return four_panels(image, example.mask, example.prediction, wrong, evaluation.palette)


def four_panels(
    image: UInt8Array, mask: UInt8Array, prediction: UInt8Array, errors: UInt8Array, palette: list[list[int]]
) -> str:
    """Return image, labels, prediction and errors, two by two, as the data URL of a JPEG.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
        mask: uint8 `[H, W]`.
        prediction: uint8 `[H, W]`.
        errors: see `error_map`, uint8 `[H, W, 3]`.
        palette: an RGB colour in 0 to 255 for each class.
    """
    panels = [image, overlay(image, mask, palette, 0.65), overlay(image, prediction, palette, 0.65), errors]
    height = max(1, round(image.shape[0] * PANEL_WIDTH / image.shape[1]))
    small = [cv2.resize(panel, (PANEL_WIDTH, height), interpolation=cv2.INTER_AREA) for panel in panels]
    sheet = contact_sheet([panel.astype(np.uint8) for panel in small], 2)  # two by two fits a phone
    return 'data:image/jpeg;base64,' + base64.b64encode(encode_jpeg(sheet, 82)).decode()


def error_map(image: UInt8Array, mask: UInt8Array, prediction: UInt8Array, ignore_index: int) -> UInt8Array:
    """Draw wrong pixels in red and ignored pixels in blue over a pale grey image.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
        mask: uint8 `[H, W]`.
        prediction: uint8 `[H, W]`.
        ignore_index: label that is ignored.

    Returns:
        uint8 `[H, W, 3]`, RGB.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    drawn = np.repeat((grey // 2 + 100)[..., None], 3, axis=2).astype(np.uint8)
    drawn[mask == ignore_index] = IGNORED
    drawn[(prediction != mask) & (mask != ignore_index)] = WRONG
    return drawn
