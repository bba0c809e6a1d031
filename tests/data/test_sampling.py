"""How often samples are seen."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seglight.data.dataset import SegmentationDataset
from seglight.data.sampling import EpochSampler, class_balance
from seglight.data.sources import Sample
from seglight.data.transforms import build_pipeline


def dataset(count: int) -> SegmentationDataset:
    samples = [Sample(Path(str(index)), str(index)) for index in range(count)]
    return SegmentationDataset(samples, build_pipeline([], 'key'), ['a'])


def drawn(repeats: list[float], epoch: int, replicas: int = 1) -> list[int]:
    indices = []
    for rank in range(replicas):
        sampler = EpochSampler(dataset(len(repeats)), replicas, rank, np.array(repeats), seed=3)
        sampler.set_epoch(epoch)
        part = list(sampler)
        assert len(part) == len(sampler)
        indices += part
    return indices


def test_integer_repeats_are_exact_and_indices_are_unique() -> None:
    indices = drawn([1, 2, 3], 0)
    assert Counter(index % 3 for index in indices) == {0: 1, 1: 2, 2: 3}
    assert sorted(indices) == [0, 1, 2, 3 + 1, 3 + 2, 6 + 2]


def test_fractions_hold_over_epochs_at_one_length() -> None:
    repeats = [0.25, 1.5, 1.0, 0.75, 2.5]
    seen: Counter[int] = Counter()
    for epoch in range(400):
        indices = drawn(repeats, epoch)
        assert len(indices) == 6
        seen.update(index % 5 for index in indices)
    assert [seen[index] / 400 for index in range(5)] == pytest.approx(repeats, abs=0.1)


def test_processes_share_an_epoch() -> None:
    assert sorted(drawn([1, 2, 3], 7, replicas=2)) == sorted(drawn([1, 2, 3], 7))


def test_images_with_rare_classes_are_seen_more_often() -> None:
    presence = np.zeros((100, 2), dtype=bool)
    presence[:, 0] = True
    presence[:4, 1] = True
    assert class_balance(presence, 0.16).tolist() == pytest.approx([2.0] * 4 + [1.0] * 96)  # sqrt(0.16 / 0.04)
