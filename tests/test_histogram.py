"""Counting, compared with numpy."""

import numpy as np
import pytest
import torch

from seglight import histogram as module
from seglight.histogram import histogram


@pytest.mark.parametrize('as_on', ['cpu', 'cuda'])
@pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_counts_equal_numpys(dtype: torch.dtype, as_on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if as_on == 'cuda':
        monkeypatch.setattr(module, '_BINCOUNT', ())
    rng = np.random.default_rng(0)
    values, weights = rng.integers(0, 9, (7, 11)), rng.integers(0, 2**40, (7, 11))
    found = histogram(torch.from_numpy(values).to(dtype), 12)
    assert found.dtype == torch.int64
    assert found.tolist() == np.bincount(values.ravel(), minlength=12).tolist()
    weighed = histogram(torch.from_numpy(values).to(dtype), 12, torch.from_numpy(weights))
    assert weighed.tolist() == [int(weights[values == value].sum()) for value in range(12)]
    assert histogram(torch.zeros(0, dtype=dtype), 3).tolist() == [0, 0, 0]
