"""The validation loss and its images."""

import math

import pytest
import torch

from seglight.batch import Batch
from seglight.models.validation_loss import MeanLoss, single_images


def batch() -> Batch:
    """Two images padded to 6x8; the first has only the ignored label."""
    masks = torch.full((2, 6, 8), 255, dtype=torch.uint8)
    masks[1, :4, :5] = 1
    meta = [{'path': f'{name}.jpg', 'name': name, 'size': (6, 8), 'original_size': (4, 5)} for name in 'ab']
    image = torch.arange(2 * 3 * 6 * 8).reshape(2, 3, 6, 8).to(torch.uint8)
    return {'image': image, 'mask': masks, 'meta': meta}  # type: ignore[typeddict-item]


def test_an_image_without_labels_does_not_count_and_masks_have_the_size_of_their_files() -> None:
    (_, first), (one, second) = single_images(batch(), 255)
    assert (bool(first), bool(second)) == (False, True)
    assert one['meta'][0]['name'] == 'b'
    assert one['image'].equal(batch()['image'][1:])
    assert one['mask'].equal(torch.ones((1, 4, 5), dtype=torch.uint8))
    assert all(labelled for _, labelled in single_images(batch(), 0))


def test_padding_is_that_of_the_image() -> None:
    padding = torch.zeros((2, 6, 8), dtype=torch.bool)
    padding[1, 5:] = True
    _, (one, _) = single_images({**batch(), 'padding': padding}, 255)
    assert one['padding'].equal(padding[1:])


def test_losses_that_do_not_count_are_left_out_of_the_mean_and_nan_is_reported(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mean, yes, no = MeanLoss(), torch.tensor(True), torch.tensor(False)
    for loss, labelled in ((1.0, yes), (float('nan'), no), (7.0, no), (2.0, yes)):
        mean.update(torch.tensor(loss), labelled)
    assert float(mean.compute()) == 1.5
    assert capsys.readouterr().err == ''
    mean.update(torch.tensor(float('nan')), yes)
    assert float(mean.compute()) == 1.5
    assert 'the validation loss of 1 image is NaN and does not count in the mean' in capsys.readouterr().err
    mean.reset()
    mean.update(torch.tensor(1.0), no)
    assert math.isnan(float(mean.compute()))
