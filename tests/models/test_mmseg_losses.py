"""Losses on samples with ignored pixels, compared with numpy, with torch and with mmseg's own where those are right."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmseg.models import losses as mmseg
from mmseg.models.builder import build_loss
from torch.nn import functional as F

import seglight.models.losses  # noqa: F401  (registers them)
from seglight.models.mmseg_losses import CrossEntropyLoss


def sample(channels: int, classes: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(channels)
    logits = torch.randn(3, channels, 6, 7, generator=generator, requires_grad=True)
    return logits, torch.randint(0, classes or max(2, channels), (3, 6, 7), generator=generator)


#: All losses of mmseg and seglight, for heads with one, two and several channels.
ONE = [
    {'type': 'CrossEntropyLoss', 'use_sigmoid': True},
    {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'avg_non_ignore': True},
    {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'reduction': 'none'},
    {'type': 'LovaszLoss', 'loss_type': 'binary', 'reduction': 'none'},
    {'type': 'LovaszLoss', 'loss_type': 'binary', 'per_image': True},
    {'type': 'MaskedDiceLoss'},
]
SEVERAL = [
    {'type': 'CrossEntropyLoss'},
    {'type': 'CrossEntropyLoss', 'avg_non_ignore': True},
    {'type': 'CrossEntropyLoss', 'use_sigmoid': True},
    {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'avg_non_ignore': True},
    {'type': 'FocalLoss'},
    {'type': 'LovaszLoss', 'reduction': 'none'},
    {'type': 'LovaszLoss', 'reduction': 'none', 'classes': 'all'},
    {'type': 'LovaszLoss', 'per_image': True},
    {'type': 'TverskyLoss'},
    {'type': 'MaskedDiceLoss'},
]
CASES = [(loss, 1) for loss in ONE] + [(loss, channels) for loss in SEVERAL for channels in (2, 5)]


@pytest.mark.parametrize(('loss', 'channels'), CASES)
def test_a_batch_whose_pixels_are_all_ignored_has_no_loss_and_no_gradient(loss: dict[str, Any], channels: int) -> None:
    logits, labels = sample(channels)
    value = build_loss(loss)(logits, torch.full_like(labels, 255), ignore_index=255).mean()
    assert value == 0
    (gradient,) = torch.autograd.grad(value, logits)
    assert torch.equal(gradient, torch.zeros_like(logits))


@pytest.mark.parametrize(('loss', 'channels'), CASES)
def test_ignored_pixels_have_no_gradient_and_their_logits_do_not_matter(loss: dict[str, Any], channels: int) -> None:
    logits, labels = sample(channels)
    labels[0] = 255  # a whole image
    labels[1:, :, :2] = 255
    value = build_loss(loss)(logits, labels, ignore_index=255).mean()
    (gradient,) = torch.autograd.grad(value, logits)
    ignored = (labels == 255)[:, None].expand_as(logits)
    assert not gradient[ignored].any()
    assert gradient[~ignored].any()
    changed = logits.detach().masked_fill(ignored, 9.0)
    torch.testing.assert_close(build_loss(loss)(changed, labels, ignore_index=255).mean(), value.detach())


@pytest.mark.parametrize(('loss', 'channels'), CASES)
def test_a_single_labelled_pixel_is_enough(loss: dict[str, Any], channels: int) -> None:
    logits, labels = sample(channels)
    alone = torch.full_like(labels, 255)
    alone[1, 2, 3] = 1
    assert build_loss(loss)(logits, alone, ignore_index=255).mean() > 0


CROSS_ENTROPIES: list[dict[str, Any]] = [
    {},
    {'avg_non_ignore': True},
    {'class_weight': [1.0, 2.0, 3.0, 4.0, 5.0], 'loss_weight': 0.5},
    {'reduction': 'sum'},
    {'reduction': 'none'},
]


@pytest.mark.parametrize('arguments', CROSS_ENTROPIES)
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('is_weighted', [False, True], ids=['all pixels', 'hard pixels'])
def test_cross_entropies_and_their_gradients_are_mmsegs(
    arguments: dict[str, Any], use_sigmoid: bool, is_weighted: bool
) -> None:
    if use_sigmoid and 'class_weight' in arguments:
        pytest.skip("mmseg's weights image columns")
    logits, labels = sample(5)
    labels[:, :2] = 255
    weight = torch.rand(labels.shape) if is_weighted else None
    losses = [
        kind(use_sigmoid=use_sigmoid, **arguments)(logits, labels, weight, ignore_index=255)
        for kind in (mmseg.CrossEntropyLoss, CrossEntropyLoss)
    ]
    torch.testing.assert_close(losses[1], losses[0])
    gradients = [torch.autograd.grad(loss.mean(), logits)[0] for loss in losses]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_dice_loss_does_not_open_a_file_of_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmcv.load', lambda *_, **__: pytest.fail('mmcv.load unpickles'))
    (tmp_path / 'weights.pkl').write_bytes(pickle.dumps([1.0, 2.0, 3.0]))
    with pytest.raises(TypeError):
        build_loss({'type': 'MaskedDiceLoss', 'class_weight': str(tmp_path / 'weights.pkl')})


@pytest.mark.parametrize('arguments', [{}, {'avg_non_ignore': True}, {'reduction': 'none'}])
@pytest.mark.parametrize('is_weighted', [False, True], ids=['all pixels', 'hard pixels'])
def test_with_one_channel_the_cross_entropy_is_mmsegs(arguments: dict[str, Any], is_weighted: bool) -> None:
    logits, labels = sample(1)
    labels[:, :2] = 255
    weight = torch.rand(labels.shape) if is_weighted else None
    losses = [
        kind(use_sigmoid=True, **arguments)(logits, labels, weight, ignore_index=255)
        for kind in (mmseg.CrossEntropyLoss, CrossEntropyLoss)
    ]
    torch.testing.assert_close(losses[1], losses[0])
    gradients = [torch.autograd.grad(loss.mean(), logits)[0] for loss in losses]
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize('channels', [4, 7])  # 7 is the width of the sample too
def test_class_weights_with_a_sigmoid_are_torchs_pos_weight(channels: int) -> None:
    logits, labels = sample(channels)
    weights = [float(index + 1) for index in range(channels)]
    loss = build_loss({'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'class_weight': weights})
    target = F.one_hot(labels, channels).movedim(-1, 1).float()
    expected = F.binary_cross_entropy_with_logits(logits, target, pos_weight=torch.tensor(weights).view(-1, 1, 1))
    torch.testing.assert_close(loss(logits, labels, ignore_index=255), expected)


def dice_by_hand(probabilities: np.ndarray, target: np.ndarray, counted: np.ndarray) -> float:
    """Return the loss of an image and a class from the pixels that count."""
    p, t = probabilities[counted], target[counted]
    return float(1 - (2 * (p * t).sum() + 1) / ((p**2).sum() + (t**2).sum() + 1))


@pytest.mark.parametrize('channels', [1, 3])
def test_the_dice_loss_counts_only_labelled_pixels(channels: int) -> None:
    logits, labels = sample(channels)
    labels[:, :2] = 255
    z = logits.detach().double().numpy()
    exp = np.exp(z)
    probabilities = exp / (1 + exp) if channels == 1 else exp / exp.sum(1, keepdims=True)
    classes = [1] if channels == 1 else range(channels)
    truth = labels.numpy()
    by_hand = [
        [dice_by_hand(probabilities[b, c], truth[b] == label, truth[b] != 255) for c, label in enumerate(classes)]
        for b in range(3)
    ]
    ours = build_loss({'type': 'MaskedDiceLoss'})(logits, labels)
    assert float(ours) == pytest.approx(np.mean(by_hand), rel=1e-5)
    weights = [2.0, 0.5, 3.0][:channels]
    weighted = build_loss({'type': 'MaskedDiceLoss', 'class_weight': weights, 'loss_weight': 0.5})(logits, labels)
    assert float(weighted) == pytest.approx(0.5 * np.mean(np.array(by_hand) * weights), rel=1e-5)
    if channels > 1:  # mmseg's counts what is predicted at ignored pixels
        assert float(build_loss({'type': 'DiceLoss'})(logits, labels)) > float(ours) + 0.01


@pytest.mark.parametrize('arguments', [{}, {'smooth': 0.1, 'exponent': 1, 'class_weight': [1.0, 2.0, 3.0]}])
def test_without_ignored_pixels_the_dice_loss_is_mmsegs(arguments: dict[str, Any]) -> None:
    logits, labels = sample(3)
    ours = build_loss({'type': 'MaskedDiceLoss', **arguments})(logits, labels)
    torch.testing.assert_close(ours, build_loss({'type': 'DiceLoss', **arguments})(logits, labels))


def test_a_dice_loss_without_smoothing_is_refused() -> None:
    with pytest.raises(ValueError, match='smooth must be above 0, got 0'):
        build_loss({'type': 'MaskedDiceLoss', 'smooth': 0})


@pytest.mark.parametrize('arguments', [{}, {'avg_non_ignore': True}, {'class_weight': [1.0, 2.0, 3.0]}])
def test_labels_with_channels_are_those_of_mmseg(arguments: dict[str, Any]) -> None:
    """EncNet's second loss: which classes an image shows."""
    logits, shown = torch.randn(4, 3), torch.randint(0, 2, (4, 3))
    losses = [kind(use_sigmoid=True, **arguments)(logits, shown) for kind in (mmseg.CrossEntropyLoss, CrossEntropyLoss)]
    torch.testing.assert_close(losses[1], losses[0])
