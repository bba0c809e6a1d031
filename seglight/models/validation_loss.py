"""The batches for the validation loss."""

from __future__ import annotations

from collections.abc import Iterator

from seglight.batch import Batch


def labelled_images(batch: Batch, ignore_index: int) -> Iterator[Batch]:
    """Yield each image of a batch on its own and without padding, so that its loss depends on no other image.

    Args:
        batch: a validation batch; masks have the size of their files.
        ignore_index: label that does not count; an image without any other label is skipped.
    """
    for index, meta in enumerate(batch['meta']):
        (height, width), (rows, columns) = meta['size'], meta['original_size']
        mask = batch['mask'][index : index + 1, :rows, :columns]
        if (mask == ignore_index).all():
            continue
        one: Batch = {'image': batch['image'][index : index + 1, :, :height, :width], 'mask': mask, 'meta': [meta]}
        if 'padding' in batch:
            one['padding'] = batch['padding'][index : index + 1, :height, :width]
        yield one
