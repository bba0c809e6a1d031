"""Pseudo labels keep only confident pixels."""

from pathlib import Path

import numpy as np
import torch

from seglight.callbacks.writers.pseudo import PseudoLabelWriter, confident
from seglight.models.inference.logits import Prediction


def test_only_the_probability_of_the_predicted_class_is_queued(tmp_path: Path) -> None:
    writer = PseudoLabelWriter(tmp_path, 0.6)
    several = torch.tensor([[[0.7, 0.2]], [[0.1, 0.5]], [[0.2, 0.3]]])
    kept = writer.kept_probabilities(Prediction(torch.tensor([[0, 1]], dtype=torch.uint8), several))
    assert kept is not None
    torch.testing.assert_close(kept, torch.tensor([[0.7, 0.5]]))
    binary = torch.tensor([[[0.9, 0.2, 0.45]]])
    kept = writer.kept_probabilities(Prediction(torch.tensor([[1, 0, 1]], dtype=torch.uint8), binary))
    assert kept is not None
    torch.testing.assert_close(kept, torch.tensor([[0.9, 0.8, 0.45]]))
    mask = np.array([[1, 0, 1]], np.uint8)
    assert confident(mask, kept.numpy(), 0.6).tolist() == [[1, 0, 255]]
