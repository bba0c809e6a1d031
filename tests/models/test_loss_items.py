"""The items of mmseg's loss dict, without those that are wrong."""

import copy

import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch

from seglight.batch import Batch
from seglight.models import Segmentor


@pytest.mark.parametrize(
    ('decode', 'auxiliary', 'left'), [(1, 2, {'aux.acc_seg'}), (1, 1, set()), (2, 2, {'decode.acc_seg', 'aux.acc_seg'})]
)
def test_the_accuracy_of_one_channel_is_left_out_since_mmseg_takes_its_argmax(
    decode: int, auxiliary: int, left: set[str]
) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    for name, channels in (('decode_head', decode), ('auxiliary_head', auxiliary)):
        loss = {'type': 'CrossEntropyLoss', 'use_sigmoid': channels == 1}
        model[name] |= {'out_channels': channels, 'num_classes': 2, 'loss_decode': loss}
    torch.manual_seed(0)
    module = Segmentor(model, ['a', 'b']).eval()
    batch = random_batch(classes=2)
    ones: Batch = {**batch, 'mask': torch.ones_like(batch['mask'])}
    mmsegs = module.segmentor.forward_train(torch.zeros(4, 3, 32, 32), [{}] * 4, ones['mask'][:, None].long())
    assert decode == 2 or float(mmsegs['decode.acc_seg']) == pytest.approx(0, abs=1e-3)  # whatever is predicted
    items = module.losses(ones)
    assert {name for name in items if 'acc' in name} == left
    assert {'decode.loss_ce', 'aux.loss_ce'} <= set(items)
