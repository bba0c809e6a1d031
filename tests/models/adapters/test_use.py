"""What works for mmseg's segmentors works for those of other libraries: resuming, views, ensembles, reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Result, write_tiny_config
from models.adapters.tiny import hf, smp

import seglight
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import ConfigError
from seglight.models import Segmentor

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures('offline')]
for name in ('transformers', 'segmentation_models_pytorch'):
    pytest.importorskip(name)

MODELS = {'hf pixels': hf('segformer'), 'hf masks': hf('mask2former'), 'smp': smp('FPN', 'mobilenet_v2')}

Run = Callable[..., Result]


@pytest.fixture(params=MODELS)
def config(request: pytest.FixtureRequest, data_root: Path, workspace: Path) -> Path:
    """A run config with one model of each adapter."""
    path = write_tiny_config(workspace / 'own.yaml', data_root)
    values = yaml.safe_load(path.read_text())
    values['model'] = {'segmentor': MODELS[request.param]}
    values['model']['schedule'] = {'_delete_': True, 'policy': 'fixed'}  # which max_steps does not change
    values['trainer'] |= {'precision': 'bf16-mixed', 'callbacks': [{'class_path': 'EMAWeightAveraging'}]}
    path.write_text(yaml.safe_dump(values))
    return path


def weights(path: str) -> dict[str, Any]:
    return Checkpoint(Path(path)).weights


@pytest.mark.slow
def test_a_run_resumes_exactly_and_predicts_in_every_way(config: Path, run: Run, no_network: list[str]) -> None:
    assert run('fit', '--config', str(config), '--work-dir', 'whole').status == 0
    assert run('fit', '--config', str(config), '--work-dir', 'parts', '--trainer.max_steps', '3').status == 0
    resumed = run('fit', '--config', str(config), '--work-dir', 'parts', '--auto-resume')
    assert resumed.status == 0, resumed
    whole, parts = weights('whole/last.ckpt'), weights('parts/last.ckpt')
    assert whole.keys() == parts.keys()
    assert all(value.equal(parts[name]) for name, value in whole.items())

    predicted = run('predict', '--ckpt', 'whole/last.ckpt', '--ckpt', 'parts/last.ckpt', '--aug-test')
    assert predicted.status == 0, predicted
    assert 'Segmentor ' in run('info', 'whole/last.ckpt').out
    predictor = seglight.load('whole/last.ckpt', 'cpu')
    image = np.random.default_rng(0).integers(0, 256, (97, 131, 3), np.uint8)
    assert predictor.predict(image).shape == (97, 131)
    assert no_network == []


def test_the_models_in_the_documentation_are_right() -> None:
    page = (Path(__file__).parents[3] / 'docs/how-to/other-libraries.md').read_text()
    blocks = re.findall(r'```yaml\n(.*?)```', page, re.DOTALL)
    timm, named, smp_model = (yaml.safe_load(block)['model']['segmentor'] for block in blocks)
    assert timm['backbone']['pretrained'] is True
    timm['backbone']['pretrained'] = False
    head = Segmentor(timm, list('abc')).segmentor.decode_head
    assert head.in_channels == [384] * 4
    with pytest.raises(
        ConfigError, match=r"name cannot load 'facebook/mask2former-swin-tiny-ade-semantic': .*a folder"
    ):
        Segmentor(named, list('abc'))
    smp_model['encoder_weights'] = None
    loss = Segmentor(smp_model, list('abc')).segmentor.decode_head.loss_decode
    assert loss.path == 'segmentation_models_pytorch.losses.DiceLoss'
