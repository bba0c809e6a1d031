"""Losses by class path and class weights, compared with torch's own and with hand computation."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_SEGMENTOR
from torch import nn
from torch.nn import functional as F

from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.losses import balanced_weights
from seglight.models.recipe import Recipe


class SoftDiceLoss(nn.Module):
    """A typical library loss: logits and labels, no `ignore_index`."""

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        probabilities = logits.softmax(1)
        target = F.one_hot(labels, logits.shape[1]).movedim(-1, 1)
        both = (probabilities * target).sum((0, 2, 3))
        return (1 - (2 * both + self.smooth) / ((probabilities + target).sum((0, 2, 3)) + self.smooth)).mean()


class OneHotDiceLoss(SoftDiceLoss):
    """A loss like MONAI's: labels with a channel, optionally one-hot encoded, weights in a buffer."""

    def __init__(self, to_onehot_y: bool = False, weight: torch.Tensor | None = None) -> None:
        super().__init__()
        self.to_onehot_y = to_onehot_y
        self.register_buffer('class_weight', weight)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert self.to_onehot_y and labels.ndim == logits.ndim and labels.shape[1] == 1
        return super().forward(logits, labels[:, 0])


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the losses of this file into a module of losses, as in a library."""
    import torch.nn.modules.loss as place

    for loss in (SoftDiceLoss, OneHotDiceLoss):
        monkeypatch.setattr(place, loss.__name__, loss, raising=False)
        monkeypatch.setattr(loss, '__module__', place.__name__)


def segmentor(loss: Any) -> Any:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode'] = loss
    return Recipe(model).for_data(5).build()


def logits_and_labels() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 8, 8, generator=generator)
    labels = torch.randint(0, 5, (2, 1, 8, 8), generator=generator)
    labels[:, :, :3] = 255
    return logits, labels


def test_label_smoothing_is_torchs() -> None:
    loss = {'type': 'torch.nn.CrossEntropyLoss', 'label_smoothing': 0.2, 'loss_weight': 0.5}
    logits, labels = logits_and_labels()
    items = segmentor(loss).decode_head.losses(logits, labels)
    expected = 0.5 * F.cross_entropy(logits, labels[:, 0], ignore_index=255, label_smoothing=0.2)
    torch.testing.assert_close(items['loss_crossentropy'], expected)


def test_a_loss_without_ignore_index_gets_only_the_labelled_pixels() -> None:
    several = [
        {'type': 'CrossEntropyLoss', 'loss_weight': 1.0},
        {'class_path': 'torch.nn.modules.loss.SoftDiceLoss', 'init_args': {'smooth': 2.0}, 'loss_weight': 3.0, 'loss_name': 'loss_dice'},
    ]  # fmt: skip
    logits, labels = logits_and_labels()
    items = segmentor(several).decode_head.losses(logits, labels)
    expected = 3.0 * SoftDiceLoss(2.0)(logits[:, :, 3:], labels[:, 0, 3:])
    torch.testing.assert_close(items['loss_dice'], expected)
    assert {'loss_ce', 'loss_dice', 'acc_seg'} == set(items)
    nothing = segmentor(several).decode_head.losses(logits, torch.full_like(labels, 255))
    assert nothing['loss_dice'] == 0


def test_a_loss_that_one_hot_encodes_labels_gets_them_with_a_channel() -> None:
    loss = {'type': 'torch.nn.modules.loss.OneHotDiceLoss', 'to_onehot_y': True}
    logits, labels = logits_and_labels()
    items = segmentor(loss).decode_head.losses(logits, labels)
    torch.testing.assert_close(items['loss_onehotdice'], SoftDiceLoss()(logits[:, :, 3:], labels[:, 0, 3:]))


@pytest.mark.parametrize('weights', [None, [0, 0, 1, 2, 3]])
def test_a_batch_without_labelled_pixels_has_no_loss_and_no_gradient(weights: list[int] | None) -> None:
    """The mean of torch over no pixels is NaN."""
    logits, labels = logits_and_labels()
    nothing = torch.full_like(labels, 255)
    assert F.cross_entropy(logits, nothing[:, 0], ignore_index=255).isnan()
    head = segmentor({'type': 'torch.nn.CrossEntropyLoss', 'class_weight': weights}).decode_head
    logits.requires_grad_()
    loss = head.losses(logits, nothing)['loss_crossentropy']
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize(
    'loss',
    [{'type': 'torch.nn.CrossEntropyLoss'}, {'type': 'torch.nn.modules.loss.OneHotDiceLoss', 'to_onehot_y': True}],
)
def test_class_weights_of_a_checkpoint_do_not_replace_those_of_the_config(loss: dict[str, Any]) -> None:
    name = 'decode_head.loss_decode.loss.' + ('weight' if 'Cross' in loss['type'] else 'class_weight')
    built = segmentor({**loss, 'class_weight': [1, 2, 3, 4, 5]})
    state = built.state_dict()
    assert name not in state
    built.load_state_dict({**state, name: torch.full((5,), 9.0)})  # as in older checkpoints
    assert built.get_buffer(name).tolist() == [1, 2, 3, 4, 5]
    assert built.get_buffer(name).dtype == torch.float32
    with pytest.raises(RuntimeError, match=r'decode_head\.other'):
        built.load_state_dict({**state, 'decode_head.other': torch.ones(1)})


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        ({'type': 'torch.nn.BCEWithLogitsLoss'}, 'torch.nn.BCEWithLogitsLoss fails on sample logits and labels: Target size'),
        ({'type': 'torch.nn.MSELoss'}, 'torch.nn.MSELoss fails on sample logits and labels: Using a target size'),
        ({'type': 'CrossEntropyLoss', 'loss_weight': 'high'}, "loss_decode.loss_weight must be a number, got 'high'"),
        ({'type': 'CrossEntropyLoss', 'class_weight': 'blanced'}, "class_weight must be 'balanced' or a file, got 'blanced'; did you mean 'balanced'?"),
        ({'type': 'CrossEntropyLoss', 'class_weight': 3.0}, "class_weight must be a list of numbers, 'balanced' or null, got 3.0"),
        ({'type': 'CrossEntropyLoss', 'class_weight': list('abcde')}, 'class_weight must be a list of numbers'),
        ([], 'decode_head.loss_decode is empty: the head needs a loss'),
        ({'type': 'torch.nn.CrossEntropyLos'}, "unknown class 'torch.nn.CrossEntropyLos'"),
        ({'type': 'torch.nn.CrossEntropyLoss', 'smoothing': 1}, "has no argument 'smoothing'; did you mean 'label_smoothing'"),
        ({'type': 'torch.nn.Linear', 'in_features': 1, 'out_features': 1}, 'torch.nn.Linear is not a loss'),
        ({'type': 'os.system'}, 'os.system is not a subclass of Module'),
        ({'type': 'torch.nn.NLLLoss', 'class_weight': [1, 2]}, 'has 2 weights for 5 classes'),
        ({'type': 'torch.nn.MSELoss', 'class_weight': [1] * 5}, 'does not support class_weight'),
        ({'type': 'CrossEntropyLos'}, "mmseg has no 'CrossEntropyLos'; did you mean 'CrossEntropyLoss'"),
    ],
)  # fmt: skip
def test_the_cause_is_named(loss: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        segmentor(loss)
    assert message in str(error.value)
    assert 'decode_head.loss_decode' in str(error.value)


def test_weights_may_be_in_a_numpy_file(tmp_path: Path) -> None:
    np.save(tmp_path / 'weights.npy', [1.0, 2, 3, 4, 5])
    for kind, extra in (('CrossEntropyLoss', {'use_sigmoid': False}), ('torch.nn.CrossEntropyLoss', {})):
        model = copy.deepcopy(TINY_SEGMENTOR)
        model['decode_head']['loss_decode'] = {'type': kind, 'class_weight': str(tmp_path / 'weights.npy'), **extra}
        loss = Recipe(model).for_data(5).build().decode_head.loss_decode
        logits, labels = torch.randn(2, 5, 4, 4), torch.randint(0, 5, (2, 4, 4))
        sums = F.cross_entropy(logits, labels, torch.arange(1.0, 6), reduction='sum')
        divisor = labels.numel() if kind == 'CrossEntropyLoss' else float((labels + 1).sum())  # mmseg's mean is plain
        assert float(loss(logits, labels)) == pytest.approx(float(sums / divisor), rel=1e-5)


@pytest.mark.parametrize('name', ['weights.json', 'weights.yaml'])
def test_weights_may_be_in_a_text_file_and_are_stored_as_numbers(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('[1, 2, 3.5, 4, 5]')
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode'] = {'type': 'CrossEntropyLoss', 'class_weight': str(tmp_path / name)}
    module = Segmentor(model, list('abcde'))
    assert module.segmentor.decode_head.loss_decode.class_weight == [1, 2, 3.5, 4, 5]
    assert module.hparams['segmentor']['decode_head']['loss_decode']['class_weight'] == [1, 2, 3.5, 4, 5]


def test_files_of_weights_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mmcv.load', lambda *_, **__: pytest.fail('mmcv.load unpickles'))
    numbers = [1.0, 2, 3, 4, 5]
    (tmp_path / 'weights.pkl').write_bytes(pickle.dumps(numbers))
    np.save(tmp_path / 'objects.npy', np.array(numbers, dtype=object))
    np.save(tmp_path / 'table.npy', np.ones((2, 5)))
    (tmp_path / 'words.json').write_text('{"a": 1}')
    (tmp_path / 'broken.yaml').write_text('[1, 2')
    for name, message in {
        'weights.pkl': 'must be a file ending in .npy, .json, .yaml',
        'objects.npy': 'cannot be read',
        'table.npy': 'must hold a list of numbers',
        'words.json': 'must hold a list of numbers',
        'broken.yaml': 'cannot be read',
    }.items():
        model = copy.deepcopy(TINY_SEGMENTOR)
        model['decode_head']['loss_decode'] = {'type': 'CrossEntropyLoss', 'class_weight': str(tmp_path / name)}
        with pytest.raises(ConfigError, match=r'decode_head\.loss_decode\.class_weight') as error:
            Recipe(model).for_data(5).build()
        assert message in str(error.value)


def test_of_two_classes_separated_by_a_threshold_the_second_is_weighted() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    loss = {'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'class_weight': [3.0]}
    for name in ('decode_head', 'auxiliary_head'):
        model[name] |= {'out_channels': 1, 'num_classes': 2, 'loss_decode': {**loss}}
    built = Recipe(model).for_data(2).build().decode_head.loss_decode
    logits, labels = torch.randn(2, 1, 4, 4), torch.randint(0, 2, (2, 4, 4))
    expected = F.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), pos_weight=torch.tensor(3.0))
    assert float(built(logits, labels)) == pytest.approx(float(expected), rel=1e-5)
    for weights, message in (([1.0, 3.0], 'has 2 weights for 1 class;'), ('balanced', 'one channel')):
        model['decode_head']['loss_decode'] = {**loss, 'class_weight': weights}
        with pytest.raises(ConfigError, match=message):
            Recipe(model).for_data(2).build()


def test_losses_that_mmseg_would_not_sum_are_named() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode']['loss_name'] = 'ce'
    Recipe(model).for_data(5).build()  # the auxiliary head's counts
    model['auxiliary_head']['loss_decode']['loss_name'] = 'other'
    with pytest.raises(ConfigError, match=r"no loss counts: .*'loss' in their loss_name, got ce, other"):
        Recipe(model).for_data(5).build()


def test_a_sampler_is_refused_before_the_data_are_read() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head'] |= {
        'sampler': {'type': 'OHEMPixelSampler'},
        'loss_decode': {'type': 'torch.nn.CrossEntropyLoss'},
    }
    with pytest.raises(
        ConfigError, match=r'decode_head\.loss_decode: losses given by class path do not support pixel samplers'
    ) as error:
        Recipe(model).for_data(5).build()
    assert error.value.key == 'model.segmentor.decode_head.loss_decode'


def test_balanced_weights_by_hand() -> None:
    weights = balanced_weights(torch.tensor([60, 30, 10, 0]))
    assert weights == pytest.approx([100 / (3 * 60), 100 / (3 * 30), 100 / (3 * 10), 0])
    assert np.average(weights, weights=[60, 30, 10, 0]) == pytest.approx(1)


@pytest.mark.parametrize('kind', ['CrossEntropyLoss', 'torch.nn.CrossEntropyLoss'])
def test_weights_set_after_construction_are_used(kind: str) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode'] = {'type': kind, 'class_weight': 'balanced', 'loss_name': 'loss_ce'}
    built = Recipe(model).for_data(5).build()
    (loss,) = Recipe(model).balanced_losses(built)
    logits, labels = logits_and_labels()
    plain = built.decode_head.losses(logits, labels)['loss_ce']
    loss.class_weight = [1.0, 2.0, 3.0, 4.0, 5.0]
    weighted = built.decode_head.losses(logits, labels)['loss_ce']
    ours = F.cross_entropy(logits, labels[:, 0], torch.tensor([1.0, 2, 3, 4, 5]), ignore_index=255, reduction='sum')
    # torch divides by the weights of the labelled pixels, mmseg by the number of all pixels.
    count = torch.tensor([1.0, 2, 3, 4, 5])[labels[labels != 255]].sum() if '.' in kind else labels.numel()
    torch.testing.assert_close(weighted, ours / count)
    assert not torch.isclose(plain, weighted)


def test_a_head_with_another_number_of_channels_is_named() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['auxiliary_head']['out_channels'] = 19
    with pytest.raises(ConfigError, match=r'auxiliary_head\.out_channels is 19, but data\.classes names 5 classes'):
        Recipe(model).for_data(5).build()
