"""The place in an epoch, counted in other batches."""

from hypothesis import given
from hypothesis import strategies as st

from seglight.data.position import Position


def test_other_batches_by_hand() -> None:
    place = Position(epoch=1, samples=12, batches=6, of=8, batch_size=2)
    assert place.counted_as(2, 1, 8, 1) == place
    assert place.counted_as(4, 1, 4, 1) == Position(1, 12, 3, 4, 4)
    assert place.counted_as(4, 2, 2, 1) == Position(1, 8, 1, 2, 4)  # 12 images are a batch and a half of two processes
    assert place.counted_as(1, 1, 16, 5) == Position(1, 10, 10, 16, 1)  # a step takes five batches
    assert place.counted_as(16, 1, 1, 1) == Position(1, 0, 0, 1, 16)
    assert place.counted_as(2, 1, 4, 1) == Position(1, 6, 3, 4, 2)  # limit_train_batches
    assert Position(3, 0, 0, 8, 2).counted_as(4, 1, 4, 1) == Position(3, 0, 0, 4, 4)


counts = st.integers(1, 9)


@given(counts, counts, counts, counts, counts, counts)
def test_no_sample_is_left_out_and_one_batch_is_left(
    size: int, batches: int, more: int, new_size: int, processes: int, accumulated: int
) -> None:
    place = Position(0, size * batches, batches, batches + more, size)
    of = max(1, (batches + more) * size // (new_size * processes))
    new = place.counted_as(new_size, processes, of, accumulated)
    assert new.samples == new.batches * new_size * processes <= place.samples
    assert new.batches < of
    assert new.batches % accumulated == 0
