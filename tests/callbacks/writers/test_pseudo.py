"""Pseudo labels keep only confident pixels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seglight.callbacks.writers.pseudo import PseudoLabelWriter, confident, minimum_of_labels, with_pseudo_labels
from seglight.data.sources import Context, build_sources
from seglight.errors import UsageError
from seglight.models.inference.logits import Prediction


def test_only_the_probability_of_the_predicted_class_is_queued(tmp_path: Path) -> None:
    writer = PseudoLabelWriter(tmp_path, 0.6)
    several = torch.tensor([[[0.7, 0.2]], [[0.1, 0.5]], [[0.2, 0.3]]])
    kept = writer.kept_probabilities(Prediction(torch.tensor([[0, 1]], dtype=torch.uint8), several))
    assert kept is not None
    torch.testing.assert_close(kept, torch.tensor([[0.7, 0.5]]))
    # post-processing may choose another class than the most probable one
    kept = writer.kept_probabilities(Prediction(torch.tensor([[1, 2]], dtype=torch.uint8), several))
    assert kept is not None
    torch.testing.assert_close(kept, torch.tensor([[0.1, 0.3]]))
    binary = torch.tensor([[[0.9, 0.2, 0.45]]])
    kept = writer.kept_probabilities(Prediction(torch.tensor([[1, 0, 1]], dtype=torch.uint8), binary))
    assert kept is not None
    torch.testing.assert_close(kept, torch.tensor([[0.9, 0.8, 0.45]]))
    mask = np.array([[1, 0, 1]], np.uint8)
    assert confident(mask, kept.numpy(), minimum_of_labels(0.6, [])).tolist() == [[1, 0, 255]]


def test_a_mask_is_never_beside_the_image_of_an_earlier_run(tmp_path: Path) -> None:
    mask, certain = np.zeros((4, 5), np.uint8), np.ones((4, 5), np.float32)
    for folder, colour in (('first', 10), ('second', 200)):
        (tmp_path / folder).mkdir()
        Image.new('RGB', (5, 4), (colour,) * 3).save(tmp_path / folder / 'a.png')
        writer = PseudoLabelWriter(tmp_path / 'out', 0.6)
        writer.masks.palette = [[0, 0, 0]]
        for _ in range(2):  # the second time as after an interruption
            writer.write(mask, certain, {'path': str(tmp_path / folder / 'a.png'), 'name': 'a'})
        with Image.open(tmp_path / 'out' / 'img_dir' / 'a.png') as linked:
            assert linked.getpixel((0, 0)) == (colour,) * 3
    assert [path.name for path in (tmp_path / 'out' / 'img_dir').iterdir()] == ['a.png']


def test_masks_are_read_as_written_whatever_the_labels_of_the_other_data(tmp_path: Path) -> None:
    Image.new('RGB', (3, 2)).save(tmp_path / 'a.png')
    writer = PseudoLabelWriter(tmp_path / 'out', 0.6)
    writer.masks.palette = [[0, 0, 0]]
    mask = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    writer.write(mask, np.ones((2, 3), np.float32), {'path': str(tmp_path / 'a.png'), 'name': 'a'})
    _, source = with_pseudo_labels('train', tmp_path / 'out', 1.0)
    ((found, _),) = build_sources(source, 'data.train', 'img_dir', 'ann_dir')
    (sample,) = found.samples(Context(['a', 'b', 'c'], root=tmp_path, reduce_zero_label=True))
    assert sample.mask is not None
    assert sample.mask.read().tolist() == mask.tolist()


def test_each_class_has_its_own_confidence_and_those_without_one_are_ignored() -> None:
    minimum = minimum_of_labels({'can': 0.9, 'ground': 0.5}, ['ground', 'can', 'paper'])
    mask = np.array([[0, 0, 1, 1, 2, 2]], np.uint8)
    winner = np.array([[0.5, 0.49, 0.9, 0.89, 0.7, 1.0]], np.float32)
    assert confident(mask, winner, minimum, 255).tolist() == [[0, 255, 1, 255, 255, 255]]
    with pytest.raises(UsageError, match="--pseudo-labels names the class 'Can', which the checkpoint does not have"):
        minimum_of_labels({'Can': 0.5}, ['can'])
    for wrong in (1.5, float('nan'), {'can': 0.5, 'paper': -0.1}):
        with pytest.raises(UsageError, match='--pseudo-labels must be a probability from 0 to 1, got'):
            PseudoLabelWriter('folder', wrong)
