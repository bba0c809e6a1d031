"""Callbacks choose how the module predicts, and the module stays as it is."""

from pathlib import Path
from typing import Any

import torch
from conftest import TINY_SEGMENTOR, random_batch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from seglight.callbacks import ProbabilityWriter, TestTimeAugmentation
from seglight.models import Segmentor
from seglight.models.inference.options import PLAIN, Options, options_of


def test_callbacks_compose_the_options_of_a_stage(tmp_path: Path) -> None:
    views, writer = TestTimeAugmentation(), ProbabilityWriter(tmp_path)
    assert options_of(None) == PLAIN
    assert views.adapt(PLAIN, 'validate') == Options(views.views)
    assert writer.adapt(views.adapt(PLAIN, 'predict'), 'predict') == Options(views.views, probabilities=True)
    assert writer.adapt(views.adapt(PLAIN, 'fit'), 'fit') == PLAIN


def test_a_trainer_predicts_with_its_callbacks_and_leaves_no_trace(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Segmentor(TINY_SEGMENTOR, list('abcde')).eval()
    batch: Any = random_batch(count=2)
    loader: DataLoader[Any] = DataLoader([batch], collate_fn=lambda batches: batches[0])  # type: ignore[arg-type]
    attributes = set(vars(module))
    with torch.inference_mode():
        plain = module.predict(batch)
        expected = module.predict(batch, Options(TestTimeAugmentation().views))
    options: dict[str, Any] = {'logger': False, 'enable_checkpointing': False, 'enable_progress_bar': False}
    for callback, masks in ((TestTimeAugmentation(), expected), (None, plain)):
        trainer = Trainer(accelerator='cpu', callbacks=callback, default_root_dir=tmp_path, **options)
        found: Any = trainer.predict(module, loader)
        assert all(torch.equal(one.mask, other.mask) for one, other in zip(found[0], masks, strict=True))
    assert any((one.mask != other.mask).any() for one, other in zip(expected, plain, strict=True))
    assert set(vars(module)) == attributes
