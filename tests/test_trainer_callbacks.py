"""A trainer's callbacks by their class."""

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import EarlyStopping, Timer

from seglight.trainer_callbacks import callbacks_of, find_callback, find_callbacks


def test_callbacks_are_found_by_class_in_their_order() -> None:
    first, second = EarlyStopping('val/mIoU'), EarlyStopping('val/loss')
    trainer = Trainer(callbacks=[first, second], accelerator='cpu', logger=False, enable_checkpointing=False)
    assert find_callbacks(trainer, EarlyStopping) == [first, second]
    assert find_callback(trainer, EarlyStopping) is first
    assert find_callback(trainer, Timer) is None
    assert find_callbacks(trainer, Timer) == []


def test_the_list_is_the_trainers_own() -> None:
    trainer = Trainer(accelerator='cpu', logger=False, enable_checkpointing=False)
    callbacks_of(trainer).insert(0, stopping := EarlyStopping('val/mIoU'))
    assert find_callback(trainer, EarlyStopping) is stopping
