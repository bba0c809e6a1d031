"""Files of predictions, one for each image."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from seglight.callbacks.writers.files import ProbabilityWriter
from seglight.models.inference.logits import Prediction


@pytest.mark.parametrize('quantize', [False, True])
def test_probabilities_are_queued_as_they_are_written(quantize: bool, tmp_path: Path) -> None:
    exact = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0))
    writer = ProbabilityWriter(tmp_path, quantize)
    kept = writer.kept_probabilities(Prediction(torch.zeros(5, 7, dtype=torch.uint8), exact))
    assert kept is not None
    values = exact.numpy()
    expected = np.rint(values * 255).astype(np.uint8) if quantize else values.astype(np.float16)
    assert kept.numpy().dtype == expected.dtype
    assert (kept.numpy() == expected).all()
    archive = np.load(io.BytesIO(writer.encode(np.zeros((5, 7), np.uint8), kept.numpy(), {})))
    assert (archive['probabilities'] == expected).all()
