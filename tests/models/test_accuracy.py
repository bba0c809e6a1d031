"""The accuracy that heads log, compared with mmseg's own."""

import pytest
import torch
from mmseg.models.decode_heads import decode_head, point_head
from mmseg.models.losses.accuracy import accuracy as mmseg_accuracy

from seglight.models.accuracy import accuracy


@pytest.mark.parametrize('shape', [(2, 9, 7), (3, 20)])
@pytest.mark.parametrize('ignore_index', [None, 0, 255])
@pytest.mark.parametrize('ignored', [0.0, 0.4, 1.0])
def test_it_is_mmsegs(shape: tuple[int, ...], ignore_index: int | None, ignored: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(shape[0], 4, *shape[1:])
    labels = torch.randint(0, 4, shape)
    labels[torch.rand(shape) < ignored] = ignore_index or 255
    expected = mmseg_accuracy(logits, labels, ignore_index=ignore_index)
    torch.testing.assert_close(accuracy(logits, labels, ignore_index=ignore_index), expected)


def test_mmsegs_heads_call_it() -> None:
    assert decode_head.accuracy is point_head.accuracy is accuracy
