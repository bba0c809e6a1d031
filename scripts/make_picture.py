"""Tile images and their predicted overlays into one picture.

    python scripts/make_picture.py IMAGES PREDICTIONS OUTPUT.jpg

IMAGES is a folder of images, PREDICTIONS a folder that `seglight predict --overlays` wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

COLUMNS = 4
ROWS = 2


def main(images: str, predictions: str, output: str) -> None:
    """Write rows of images, each followed by a row of their overlays."""
    overlays = sorted(Path(predictions, 'overlays').glob('*.jpg'))[: ROWS * COLUMNS]
    rows = []
    for start in range(0, len(overlays), COLUMNS):
        group = overlays[start : start + COLUMNS]
        originals = [next(Path(images).glob(f'{path.stem}.*')) for path in group]
        rows += [np.hstack([np.asarray(cv2.imread(str(path))) for path in paths]) for paths in (originals, group)]
    cv2.imwrite(output, np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
