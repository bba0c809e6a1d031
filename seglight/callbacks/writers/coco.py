"""Predictions as a COCO JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from pycocotools import mask as coco_mask
from pytorch_lightning import LightningModule

from seglight.array_types import UInt8Array
from seglight.callbacks.writers.journal import JournalWriter
from seglight.names import file_name


class CocoWriter(JournalWriter):
    """Writes a COCO JSON with compressed RLE: one annotation for each class in an image.

    `category_id` is the label of the class; `image_id` numbers the images from 1, in the order of the data.

    Args:
        path: the file.
        resume: continue the lines of an interrupted run.
        overwrite: replace an existing file.
    """

    kind = 'coco'

    def line(self, mask: UInt8Array, meta: dict[str, Any]) -> bytes:
        """Return the image and its annotations as JSON."""
        height, width = mask.shape
        image = {'file_name': file_name(meta['name'], meta['path']), 'height': height, 'width': width}
        return json.dumps({'image': image, 'annotations': [_annotation(mask, k) for k in np.unique(mask)]}).encode()

    def assemble(self, file: BinaryIO, lines: Iterator[bytes], pl_module: LightningModule) -> None:
        """Write annotations, images and categories."""
        images = []
        count = 0
        file.write(b'{"annotations": [')
        for number, line in enumerate(lines, 1):
            entry = json.loads(line)
            images.append({'id': number, **entry['image']})
            for annotation in entry['annotations']:
                count += 1
                text = json.dumps({'id': count, 'image_id': number, **annotation})
                file.write((', ' * (count > 1)).encode() + text.encode())
        names = getattr(pl_module, 'classes', [])
        rest = {'images': images, 'categories': [{'id': k, 'name': name} for k, name in enumerate(names)]}
        file.write(b'], ' + json.dumps(rest).encode()[1:])


def _annotation(mask: UInt8Array, label: int) -> dict[str, Any]:
    """Return the annotation of one class, without ids."""
    rle = coco_mask.encode(np.asfortranarray(mask == label))
    return {
        'category_id': int(label),
        'segmentation': {'size': list(mask.shape), 'counts': rle['counts'].decode()},
        'area': int(coco_mask.area(rle)),
        'bbox': coco_mask.toBbox(rle).tolist(),
        'iscrowd': 0,
    }
