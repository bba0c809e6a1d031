"""The images for the validation loss."""

import torch

from seglight.batch import Batch
from seglight.models.validation_loss import labelled_images


def batch() -> Batch:
    """Two images padded to 6x8; the first has only the ignored label."""
    masks = torch.full((2, 6, 8), 255, dtype=torch.uint8)
    masks[1, :4, :5] = 1
    meta = [{'path': f'{name}.jpg', 'name': name, 'size': (6, 8), 'original_size': (4, 5)} for name in 'ab']
    image = torch.arange(2 * 3 * 6 * 8).reshape(2, 3, 6, 8).to(torch.uint8)
    return {'image': image, 'mask': masks, 'meta': meta}  # type: ignore[typeddict-item]


def test_an_image_without_labels_is_skipped_and_masks_have_the_size_of_their_files() -> None:
    (one,) = labelled_images(batch(), 255)
    assert one['meta'][0]['name'] == 'b'
    assert one['image'].equal(batch()['image'][1:])
    assert one['mask'].equal(torch.ones((1, 4, 5), dtype=torch.uint8))
    assert len(list(labelled_images(batch(), 0))) == 2


def test_padding_is_that_of_the_image() -> None:
    padding = torch.zeros((2, 6, 8), dtype=torch.bool)
    padding[1, 5:] = True
    (one,) = labelled_images({**batch(), 'padding': padding}, 255)
    assert one['padding'].equal(padding[1:])
