"""Programs of their own that train with Lightning: one data module and trainer for several things."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from seglight.data import SegmentationDataModule
from seglight.models import Segmentor

CLASSES = [f'class {index}' for index in range(11)]


def module(cls: type[Segmentor] = Segmentor, **loss: Any) -> Segmentor:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode'].update(loss)
    return cls(model, CLASSES)


@pytest.fixture
def data(data_root: Path) -> SegmentationDataModule:
    return SegmentationDataModule(CLASSES, root=str(data_root), num_workers=0, batch_size=2)


def trainer(**more: Any) -> Trainer:
    quiet = {
        'logger': False,
        'enable_checkpointing': False,
        'enable_progress_bar': False,
        'enable_model_summary': False,
    }
    return Trainer(**{**quiet, 'accelerator': 'cpu', 'max_epochs': 1, 'limit_val_batches': 0, **more})


def test_a_new_run_starts_at_the_first_batch_whatever_the_data_module_did(
    data: SegmentationDataModule, tmp_path: Path
) -> None:
    keep = ModelCheckpoint(tmp_path, '{step}', every_n_train_steps=3, save_top_k=-1)
    trainer(callbacks=[keep], enable_checkpointing=True).fit(module(), data)
    middle = tmp_path / 'step=3.ckpt'
    resumed = trainer()
    resumed.fit(module(), data, ckpt_path=str(middle), weights_only=True)
    assert resumed.global_step == 4
    trainer(limit_val_batches=1).validate(module(), data, ckpt_path=str(middle), weights_only=True, verbose=False)
    fresh = trainer()
    fresh.fit(module(), data)
    assert fresh.global_step == 4  # 8 images


def test_a_checkpoint_is_saved_after_a_validation(data: SegmentationDataModule, tmp_path: Path) -> None:
    validating = trainer(limit_val_batches=1)
    validating.validate(module(), data, verbose=False)
    validating.save_checkpoint(tmp_path / 'a.ckpt')
    begun = trainer()
    begun.fit(module(), data, ckpt_path=str(tmp_path / 'a.ckpt'), weights_only=True)
    assert begun.global_step == 4


def test_a_data_module_goes_to_another_process(data: SegmentationDataModule) -> None:
    data.setup('fit')
    copied = pickle.loads(pickle.dumps(data))
    first, again = (next(iter(each.train_dataloader())) for each in (data, copied))
    assert torch.equal(first['image'], again['image'])


class OwnLoss(Segmentor):
    """Trains with a loss of its own."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        logits = torch.stack(self(batch))
        return torch.nn.functional.cross_entropy(logits, batch['mask'].long(), ignore_index=255)


def test_a_subclass_may_have_a_loss_of_its_own(data: SegmentationDataModule) -> None:
    own = module(OwnLoss)
    before = {name: value.clone() for name, value in own.segmentor.named_parameters()}
    trainer(max_steps=2).fit(own, data)
    assert any(not torch.equal(before[name], value) for name, value in own.segmentor.named_parameters())


def test_balanced_weights_are_those_of_the_data(data: SegmentationDataModule) -> None:
    balanced = module(class_weight='balanced')
    trainer().fit(balanced, data)
    assert len(set(balanced.segmentor.decode_head.loss_decode.class_weight)) > 1


class Scaled(Segmentor):
    """Has a parameter besides those of the segmentor."""

    def __init__(self, segmentor: dict[str, Any], classes: list[str]) -> None:
        super().__init__(segmentor, classes)
        self.log_scale = torch.nn.Parameter(torch.tensor(1.0))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor | None:
        loss = super().training_step(batch, batch_idx)
        return None if loss is None else loss * self.log_scale.exp()


def test_a_parameter_of_a_subclass_is_trained(data: SegmentationDataModule) -> None:
    scaled = module(Scaled)
    assert isinstance(scaled, Scaled)
    training = trainer(max_steps=2)
    training.fit(scaled, data)
    assert scaled.log_scale.item() != 1
    (optimizer,) = training.optimizers
    assert 'log_scale' in optimizer.param_groups[-1]['param_names']
