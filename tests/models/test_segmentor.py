"""The LightningModule, compared with mmseg's own training and validation."""

import copy
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY_SEGMENTOR, random_batch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import nn
from torch.utils.data import DataLoader

from seglight.batch import Batch
from seglight.callbacks.console import ProgressBars
from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.inference.options import Options
from seglight.models.normalisation import IMAGENET_MEAN, IMAGENET_STD

CLASSES = ['a', 'b', 'c', 'd', 'e']


def trainer(folder: Path, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator='cpu', logger=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=folder, **options,
    )  # fmt: skip


def loader(*batches: Batch) -> DataLoader[Any]:
    """A loader of ready batches."""
    ready: Any = batches
    return DataLoader(ready, collate_fn=lambda items: items[0])


def test_the_loss_is_mmsegs_sum_and_every_item_is_logged(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Segmentor(copy.deepcopy(TINY_SEGMENTOR), CLASSES)
    for head in (module.segmentor.decode_head, module.segmentor.auxiliary_head):
        head.dropout.p = 0.0
    reference = copy.deepcopy(module.segmentor).train()
    runner = trainer(tmp_path, max_epochs=1, log_every_n_steps=1, enable_checkpointing=False)
    runner.fit(module, loader(random_batch()))
    data = random_batch()
    image = (data['image'].float() - module.mean.view(3, 1, 1)) / module.std.view(3, 1, 1)
    losses = reference.forward_train(image, [{}] * 4, data['mask'].long().unsqueeze(1))
    expected, items = reference._parse_losses(losses)
    logged = runner.logged_metrics
    assert float(logged['train/loss']) == pytest.approx(expected.item(), rel=1e-5)
    assert {'decode.loss_ce', 'decode.acc_seg', 'aux.loss_ce', 'aux.acc_seg'} < set(items)
    for name, value in items.items():
        assert float(logged[f'train/{name}']) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(('bar', 'shown'), [(TQDMProgressBar, True), (ProgressBars, False), (None, False)])
def test_only_lightnings_own_bars_make_it_read_the_loss_in_every_step(
    bar: type[Any] | None, shown: bool, tmp_path: Path
) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES)
    callbacks = [bar()] if bar else []
    runner = pl.Trainer(
        accelerator='cpu', logger=False, enable_model_summary=False, enable_checkpointing=False, max_epochs=1,
        default_root_dir=tmp_path, callbacks=callbacks, enable_progress_bar=bool(bar),
    )  # fmt: skip
    runner.fit(module, loader(random_batch()))
    assert ('train/loss' in runner.progress_bar_metrics) == shown
    if bar is ProgressBars:
        assert callbacks[0].get_metrics(runner, module)['loss'] == pytest.approx(
            float(runner.callback_metrics['train/loss'])
        )


def test_the_dict_that_is_passed_in_is_not_changed(tmp_path: Path) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    Segmentor(model, CLASSES)
    assert model == TINY_SEGMENTOR


def test_normalisation_is_on_the_device_and_in_the_checkpoint(tmp_path: Path) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES, mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    runner = trainer(tmp_path, max_epochs=1, enable_checkpointing=False)
    runner.fit(module, loader(random_batch()))
    runner.save_checkpoint(tmp_path / 'a.ckpt')
    again = Segmentor.load_from_checkpoint(tmp_path / 'a.ckpt', weights_only=True)
    assert again.mean.tolist() == [1.0, 2.0, 3.0]
    assert again.std.tolist() == [4.0, 5.0, 6.0]
    assert again.to('meta').mean.device.type == 'meta'
    assert again.classes == CLASSES


def test_a_checkpoint_leaves_out_the_address_of_pretrained_weights(tmp_path: Path) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES)
    checkpoint = {'hyper_parameters': {'segmentor': {**TINY_SEGMENTOR, 'pretrained': 'open-mmlab://resnet18_v1c'}}}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint['hyper_parameters']['segmentor']['pretrained'] is None


def test_validation_counts_at_the_size_of_the_masks(tmp_path: Path) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES)
    data = random_batch()
    data['image'] = data['image'][:, :, :16, :16].contiguous()
    for meta in data['meta']:
        meta['size'] = (16, 16)
    figures = trainer(tmp_path).validate(module, loader(data), verbose=False)[0]
    means = {f'val/{name}' for name in ('mIoU', 'mAcc', 'aAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')}
    assert set(figures) == means | {f'val/IoU.{name}' for name in CLASSES}
    module.eval()
    module.metrics.reset()
    with torch.no_grad():
        module.validation_step(data, 0)
    assert module.metrics.confusion.sum() == 4 * 32 * 32


@pytest.mark.parametrize(
    ('processes', 'device', 'synchronous'), [(1, 'cuda', False), (2, 'cpu', False), (2, 'cuda', True)]
)
def test_batch_norm_is_synchronous_on_several_gpus_only(processes: int, device: str, synchronous: bool) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES)
    plain = sum(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
    strategy = SimpleNamespace(root_device=torch.device(device))
    trainer: Any = SimpleNamespace(world_size=processes, strategy=strategy)
    module._trainer = trainer
    module.setup('fit')
    count = sum(isinstance(part, torch.nn.SyncBatchNorm) for part in module.modules())
    assert count == (plain if synchronous else 0)
    assert plain > 10


def test_without_classes_the_error_names_the_key_to_set() -> None:
    with pytest.raises(ConfigError, match=r'data\.classes'):
        Segmentor(TINY_SEGMENTOR)


def test_a_module_in_place_of_its_dict_is_refused() -> None:
    wrong: Any = nn.Conv2d(3, 2, 1)
    with pytest.raises(
        ConfigError,
        match=r"model\.segmentor must be a dict as in mmseg's configs, got Conv2d; name a class of your own",
    ):
        Segmentor(wrong, CLASSES)


@pytest.mark.parametrize(
    'wrong',
    [{'mean': [1.0, 2.0]}, {'std': [0.0, 1.0, 1.0]}, {'std': [1.0, math.nan, 1.0]}, {'mean': [math.inf, 0.0, 0.0]}],
)
def test_invalid_normalisation_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match=rf'model\.{next(iter(wrong))} must be three numbers, for red, green and blue'
    ):
        Segmentor(TINY_SEGMENTOR, CLASSES, **wrong)


SLIDING = {'mode': 'slide', 'crop_size': (18, 18), 'stride': (13, 13)}  # bands start between the strided rows


@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('test_cfg', [{'mode': 'whole'}, SLIDING])
@pytest.mark.parametrize('size', [(45, 38), (61, 50)])
def test_the_confidence_is_that_of_every_fourth_pixel(
    channels: int, test_cfg: dict[str, Any], size: tuple[int, int]
) -> None:
    module = two_classes(channels, seed=0, test_cfg=test_cfg)
    data = random_batch(count=2, size=45)
    data['image'] = data['image'][..., :38]
    for meta in data['meta']:
        meta.update({'size': (45, 38), 'original_size': size})
    with torch.no_grad():
        middle = torch.stack([logits.flatten(1).median(1).values for logits in module(data)]).mean(0)
        module.segmentor.decode_head.conv_seg.bias -= middle  # so that both classes are predicted
        found = module.predict(data, Options(confidence=True))
        scores = module(data)
        again = module.predict(data, Options(confidence=True, probabilities=True))
    assert torch.stack([one.mask for one in found]).unique().tolist() == [0, 1]
    for one, other, logits in zip(found, again, scores, strict=True):
        first = logits.sigmoid() if channels == 1 else logits.softmax(0)[1:]
        both = torch.cat([1 - first, first])
        expected = torch.where(one.mask == 1, both[1], both[0])[::4, ::4]
        assert one.probabilities is None
        torch.testing.assert_close(one.confidence, expected)
        torch.testing.assert_close(other.confidence, expected)


@pytest.mark.parametrize('first', [1, 2])
def test_a_sigmoid_and_a_softmax_vote_together(first: int) -> None:
    module, other = two_classes(first, seed=0), two_classes(3 - first, seed=1)
    data = random_batch(count=1)
    with torch.no_grad():
        first_vote, second_vote = (each.probabilities(data['image'], (32, 32)) for each in (module, other))
        options = Options(ensemble=[(other, 3.0)])
        together = module.probabilities(data['image'], (32, 32), options)
        (prediction,) = module.predict(data, options)
    expected = (first_vote[:, -1] + 3 * second_vote[:, -1]) / 4
    torch.testing.assert_close(together, torch.stack([1 - expected, expected], 1))
    assert (prediction.mask == (expected[0] > 0.5)).all()


def two_classes(channels: int, seed: int, test_cfg: dict[str, Any] | None = None) -> Segmentor:
    """A model of two classes with one channel (sigmoid) or two (softmax)."""
    torch.manual_seed(seed)
    model = {**copy.deepcopy(TINY_SEGMENTOR), 'auxiliary_head': None, 'test_cfg': test_cfg or {'mode': 'whole'}}
    model['decode_head'] |= {'out_channels': channels, 'num_classes': 2}
    if channels == 1:
        model['decode_head'] |= {'threshold': 0.5, 'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': True}}
    module = Segmentor(model, ['a', 'b']).eval()
    torch.nn.init.normal_(module.segmentor.decode_head.conv_seg.weight)
    return module


def test_the_validation_loss_is_the_mean_of_mmsegs_own_over_the_images(tmp_path: Path) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES, val_loss=True)
    batches = [random_batch(3, 32, seed=1), random_batch(1, 48, seed=2), random_batch(1, 48, seed=3)]
    batches[2]['mask'][:] = 255
    (figures,) = trainer(tmp_path).validate(module, loader(*batches), verbose=False)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    expected = []
    module.eval()
    with torch.no_grad():
        for batch in batches[:2]:
            for image, mask in zip(batch['image'], batch['mask'], strict=True):
                meta = [{'ori_shape': image.shape, 'filename': ''}]
                losses = module.segmentor.forward_train((image[None] - mean) / std, meta, mask[None, None].long())
                expected.append(sum(float(value) for name, value in losses.items() if 'loss' in name))
    assert figures['val/loss'] == pytest.approx(sum(expected) / 4, rel=1e-5)


def test_a_loss_whose_class_weights_are_unknown_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode']['class_weight'] = 'balanced'
    (figures,) = trainer(tmp_path).validate(
        Segmentor(model, CLASSES, val_loss=True), loader(random_batch()), verbose=False
    )
    assert 'val/mIoU' in figures
    assert 'val/loss' not in figures
    assert 'the loss is left out: class_weight: balanced' in capsys.readouterr().err


def test_the_loss_is_of_the_same_pixels_if_the_classes_have_another_order() -> None:
    module, batch = Segmentor(TINY_SEGMENTOR, CLASSES).eval(), random_batch()
    batch['mask'][:, :4] = 255
    expected = module.losses(batch)
    order = [3, 1, 0, 4, 2]
    module.reorder(order)
    table = torch.arange(256, dtype=torch.uint8)
    table[order] = torch.arange(5, dtype=torch.uint8)
    found = module.losses({**batch, 'mask': table[batch['mask'].long()]})
    assert {name: torch.as_tensor(value).tolist() for name, value in found.items()} == {
        name: torch.as_tensor(value).tolist() for name, value in expected.items()
    }


def test_a_model_can_be_validated_before_it_is_trained(tmp_path: Path) -> None:
    module = Segmentor(TINY_SEGMENTOR, CLASSES, boundary_iou=True, val_loss=True)
    data = loader(random_batch())
    once = trainer(tmp_path, max_epochs=1, enable_checkpointing=False)
    (before,) = once.validate(module, data, verbose=False)
    once.test(module, data, verbose=False)
    once.fit(module, data, data)
    (after,) = once.validate(module, data, verbose=False)
    assert before['val/loss'] != after['val/loss']


class Weighted(Segmentor):
    """Learns the weight of its loss, outside of the segmentor."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.log_weight = nn.Parameter(torch.zeros(1))
        self.same_head = self.segmentor.decode_head

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss: Any = super().training_step(batch, batch_idx)
        return loss * self.log_weight.exp().sum()


def test_parameters_of_a_subclass_train_and_resume(tmp_path: Path) -> None:
    rates = {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9, 'paramwise_cfg': {'custom_keys': {'head': {'lr_mult': 2.0}}}}

    def run(epochs: int, **options: Any) -> tuple[Weighted, pl.Trainer]:
        module = Weighted(TINY_SEGMENTOR, CLASSES, optimizer=rates, schedule={'policy': 'fixed'})
        runner = trainer(tmp_path, max_epochs=epochs, enable_checkpointing=False)
        runner.fit(module, loader(random_batch()), **options)
        return module, runner

    module, runner = run(1)
    assert module.log_weight.item() < 0
    backbone, heads = runner.optimizers[0].param_groups
    assert (backbone['lr'], heads['lr']) == (0.1, 0.2)
    assert backbone['param_names'][-1] == 'log_weight'
    assert {name.partition('.')[0] for name in heads['param_names']} == {'decode_head', 'auxiliary_head'}
    runner.save_checkpoint(tmp_path / 'one.ckpt')
    resumed, again = run(2, ckpt_path=tmp_path / 'one.ckpt', weights_only=True)
    momentum = again.optimizers[0].state[resumed.log_weight]['momentum_buffer']
    before = runner.optimizers[0].state[module.log_weight]['momentum_buffer']
    assert resumed.log_weight.item() == pytest.approx((module.log_weight - 0.1 * momentum).item())
    assert not torch.equal(momentum, before)
