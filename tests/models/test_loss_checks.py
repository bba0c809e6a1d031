"""Losses that cannot train the model, or ignore settings of the config, are refused before any data is read."""

import copy
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR

from seglight.errors import ConfigError
from seglight.models.loss_checks import check_losses, losses_of_ignored_pixels
from seglight.models.recipe import Recipe


def segmentor(loss: Any, channels: int = 5, **head: Any) -> Any:
    """Build a model whose head has a loss; one channel means two classes."""
    model = copy.deepcopy(TINY_SEGMENTOR)
    del model['auxiliary_head']
    model['decode_head'].update(loss_decode=loss, **head)
    if channels == 1:
        model['decode_head'] |= {'out_channels': 1, 'threshold': 0.5}
    return Recipe(model).for_data(max(2, channels)).construct()


SOFTMAX = {'type': 'CrossEntropyLoss'}
SIGMOID = {'type': 'CrossEntropyLoss', 'use_sigmoid': True}
BINARY = {'type': 'LovaszLoss', 'loss_type': 'binary', 'reduction': 'none'}
LOVASZ = {'type': 'LovaszLoss', 'reduction': 'none'}
OHEM = {'type': 'OHEMPixelSampler', 'thresh': 0.7, 'min_kept': 100}

GOOD: list[tuple[Any, int, dict[str, Any]]] = [
    *(({'type': name}, channels, {}) for name in ('DiceLoss', 'TverskyLoss', 'FocalLoss') for channels in (2, 5)),
    *((loss, channels, {}) for loss in (SOFTMAX, SIGMOID, LOVASZ, {'type': 'MaskedDiceLoss'}) for channels in (2, 5)),
    *((loss, 1, {}) for loss in (SIGMOID, BINARY, {'type': 'MaskedDiceLoss'})),
    ([SIGMOID, {**SIGMOID, 'loss_name': 'loss_off', 'loss_weight': 0.0}], 1, {}),
    *(({**SIGMOID, 'class_weight': [1.0] * (count - 1) + [3.0]}, count, {}) for count in (29, 31, 32)),
    (SOFTMAX, 5, {'sampler': OHEM}),
    ([SOFTMAX, {'type': 'DiceLoss'}], 5, {'sampler': OHEM}),
]


@pytest.mark.parametrize(('loss', 'channels', 'head'), GOOD)
def test_a_loss_with_a_gradient_is_accepted(loss: Any, channels: int, head: dict[str, Any]) -> None:
    check_losses(segmentor(loss, channels, **head))


ONE_CHANNEL = 'because a softmax over one channel is always 1; a head with out_channels: 1 takes {type: CrossEntropy'

BAD: list[tuple[Any, int, dict[str, Any], str]] = [
    ({'type': 'DiceLoss'}, 1, {}, f'DiceLoss cannot train the model: its gradient is zero, {ONE_CHANNEL}'),
    ({'type': 'TverskyLoss'}, 1, {}, f'TverskyLoss cannot train the model: its gradient is zero, {ONE_CHANNEL}'),
    ({**LOVASZ, 'classes': [1]}, 1, {}, f'LovaszLoss cannot train the model: its gradient is zero, {ONE_CHANNEL}'),
    (LOVASZ, 1, {}, 'Sigmoid output possible only with 1 class; a head with out_channels: 1 takes'),
    (SOFTMAX, 1, {}, 'CrossEntropyLoss fails on sample logits and labels: '),
    ({'type': 'FocalLoss'}, 1, {}, 'a head with out_channels: 1 takes {type: CrossEntropyLoss, use_sigmoid: true}'),
    ([SOFTMAX, {'type': 'DiceLoss', 'class_weight': [0.0] * 5}], 5, {}, 'loss_decode.1: DiceLoss cannot train the model: its gradient is zero, because class_weight is 0 for every class'),
    ({**SOFTMAX, 'loss_weight': 0.0}, 5, {}, 'no loss counts: every loss_weight is 0'),
    ({**SOFTMAX, 'loss_weight': -1.0}, 5, {}, 'loss_decode.loss_weight must be 0 or more, got -1.0'),
    ({**SOFTMAX, 'class_weight': [1, 1, 1, 1, -1]}, 5, {}, 'class_weight must be numbers of 0 or more, got [1, 1, 1, 1, -1]'),
    ({**BINARY, 'class_weight': [3.0]}, 1, {}, 'loss_decode.class_weight has no effect: this LovaszLoss does not use it; remove it'),
    (BINARY, 5, {}, 'LovaszLoss fails on sample logits and labels'),
    ({'type': 'TverskyLoss', 'smooth': 0}, 5, {}, 'TverskyLoss is nan for a batch whose pixels are all ignored (ignore_index 255); set smooth above 0'),
    (LOVASZ, 5, {'sampler': OHEM}, 'decode_head.sampler: OHEMPixelSampler has no effect: LovaszLoss does not weight pixels; remove it'),
    (SIGMOID, 1, {'sampler': OHEM}, 'decode_head.sampler: OHEMPixelSampler fails on sample logits and labels'),
    ({'type': 'DiceLoss'}, 5, {'sampler': {**OHEM, 'thresh': None}}, 'decode_head.sampler: OHEMPixelSampler fails'),
]  # fmt: skip


@pytest.mark.parametrize(('loss', 'channels', 'head', 'message'), BAD)
def test_a_loss_that_cannot_train_is_refused(loss: Any, channels: int, head: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_losses(segmentor(loss, channels, **head))
    assert message in str(error.value)


def test_no_side_of_the_sample_equals_another_dimension() -> None:
    from seglight.models.loss_checks import _sample

    for count in (2, 3, 29, 31, 32, 37, 150):
        logits, labels = _sample(segmentor(SOFTMAX, count).decode_head)
        numbers = [logits.shape[0], count, *logits.shape[2:]]
        assert len(set(numbers)) == 4
        assert set(labels.unique().tolist()) == {*range(count), 255}


def test_points_are_sampled_for_a_point_head() -> None:
    head = {'type': 'PointHead', 'in_channels': [16], 'in_index': [0], 'channels': 8, 'num_fcs': 1}
    model: dict[str, Any] = {
        **copy.deepcopy(TINY_SEGMENTOR),
        'type': 'CascadeEncoderDecoder',
        'num_stages': 2,
        'decode_head': [TINY_SEGMENTOR['decode_head'], {**head, 'loss_decode': {'type': 'DiceLoss'}}],
    }
    check_losses(Recipe(model).for_data(5).construct())
    model['decode_head'][1]['loss_decode'] = SIGMOID
    with pytest.raises(ConfigError, match=r'decode_head\.1\.loss_decode: CrossEntropyLoss fails'):
        check_losses(Recipe(model).for_data(5).construct())


def test_a_loss_that_counts_ignored_pixels_is_named() -> None:
    model = segmentor([SOFTMAX, {'type': 'DiceLoss'}])
    (warning,) = losses_of_ignored_pixels(model)
    assert warning.startswith("model.segmentor.decode_head.loss_decode.1: mmseg's DiceLoss counts ignored pixels")
    assert 'MaskedDiceLoss, with the same arguments' in warning
    assert not losses_of_ignored_pixels(segmentor([SOFTMAX, {'type': 'MaskedDiceLoss'}]))
    assert torch.is_grad_enabled()
