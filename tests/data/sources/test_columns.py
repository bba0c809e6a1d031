"""Samples in columns behave like a list of them."""

from pathlib import Path

import numpy as np
import pytest

from seglight.data.sources import Sample
from seglight.data.sources.columns import Listed, Part, Samples

MANY = [Sample(Path(f'img/{index}.jpg'), f'{index}') for index in range(7)]


def test_samples_of_several_sources_are_one_list() -> None:
    samples = Samples([Part(Listed(MANY[:3]), 2.0, True, 'one'), Part(Listed([])), Part(Listed(MANY[3:]))])
    assert [sample.name for sample in samples] == [str(index) for index in range(7)]
    assert [sample.source for sample in samples] == ['one'] * 3 + [''] * 4
    assert samples.repeats.tolist() == [2, 2, 2, 1, 1, 1, 1]
    assert samples.only_train.tolist() == [True] * 3 + [False] * 4
    chosen = samples.take([6, 0, 4]).take(np.array([2, 0, 1]))
    assert chosen == [samples[4], samples[6], samples[0]]
    assert chosen.texts('names') == ['4', '6', '0']
    assert chosen.texts('images') == ['img/4.jpg', 'img/6.jpg', 'img/0.jpg']
    assert chosen.repeats.tolist() == [1, 1, 2]
    assert samples[1:6:2] == [samples[1], samples[3], samples[5]]
    assert samples[-1] == samples[6]
    with pytest.raises(IndexError):
        samples[7]
    assert Samples.joined([chosen, samples]) == [*chosen, *samples]
    assert Samples.joined([]) == []
    assert not samples.labelled.any()
