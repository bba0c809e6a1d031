"""Numbers with their nouns."""

import pytest

from seglight.counting import counted, duration, percent


@pytest.mark.parametrize(
    ('number', 'noun', 'text'),
    [
        (0, 'image', '0 images'),
        (1, 'image', '1 image'),
        (2, 'image', '2 images'),
        (1, 'batch', '1 batch'),
        (3, 'batch', '3 batches'),
        (2, 'epoch', '2 epochs'),
        (11, 'class', '11 classes'),
        (True, 'batch', '1 batch'),  # as `trainer.fast_dev_run` is
    ],
)
def test_a_noun_is_in_the_plural_unless_there_is_one(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


@pytest.mark.parametrize(
    ('share', 'text'), [(1.0, '100 %'), (0.99999999, '99.9999 %'), (0.98765432, '98.7654 %'), (0.0, '0.0000 %')]
)
def test_only_a_whole_is_100_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ('seconds', 'text'), [(90.4, '90 seconds'), (1800, '30 minutes'), (7199, '120 minutes'), (9000, '2.5 hours')]
)
def test_a_time_is_in_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration(seconds) == text
