"""What works for mmseg's segmentors works for those of other libraries: resuming, views, ensembles, reports."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Result, random_batch, write_tiny_config
from models.adapters.tiny import hf, smp
from pages import ROOT, blocks_of

import seglight
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.compilation import compile_parts
from seglight.models.loss_items import mean, total

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures('offline')]
for name in ('transformers', 'segmentation_models_pytorch'):
    pytest.importorskip(name)

TIMM = {
    'type': 'EncoderDecoder',
    'backbone': {'type': 'TIMMBackbone', 'model_name': 'test_resnet', 'pretrained': False},
    'decode_head': {'type': 'FCNHead', 'channels': 16, 'norm_cfg': {'type': 'BN'}},
}
MODELS = {'hf pixels': hf('segformer'), 'hf masks': hf('mask2former'), 'smp': smp('FPN', 'mobilenet_v2'), 'timm': TIMM}

#: The layers that depend on the number of classes.
CLASSIFIERS = {
    'hf pixels': ['model.decode_head.classifier.weight', 'model.decode_head.classifier.bias'],
    'hf masks': ['model.class_predictor.weight', 'model.class_predictor.bias', 'model.criterion.empty_weight'],
    'smp': ['model.segmentation_head.0.weight', 'model.segmentation_head.0.bias'],
    'timm': ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'],
}

#: What `seglight info` calls them.
KIND_IN_INFO = {
    'hf pixels': 'HFSegmentor segformer',
    'hf masks': 'HFSegmentor mask2former',
    'smp': 'SMPSegmentor FPN',
    'timm': 'TIMMBackbone',
}

Run = Callable[..., Result]


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    """One kind of model of each adapter."""
    return str(request.param)


@pytest.fixture
def config(kind: str, data_root: Path, workspace: Path) -> Path:
    """A run config with a model of this kind."""
    path = write_tiny_config(workspace / 'own.yaml', data_root)
    values = yaml.safe_load(path.read_text())
    values['model'] = {'segmentor': MODELS[kind]}
    values['model']['schedule'] = {'_delete_': True, 'policy': 'fixed'}  # which max_steps does not change
    values['trainer'] |= {'precision': 'bf16-mixed', 'callbacks': [{'class_path': 'EMAWeightAveraging'}]}
    path.write_text(yaml.safe_dump(values))
    return path


def weights(path: str) -> dict[str, Any]:
    return Checkpoint(Path(path)).weights


@pytest.mark.slow
def test_a_run_resumes_exactly_and_predicts_in_every_way(
    kind: str, config: Path, trained: Path, run: Run, no_network: list[str]
) -> None:
    assert run('fit', '--config', str(config), '--work-dir', 'whole').status == 0
    assert run('fit', '--config', str(config), '--work-dir', 'parts', '--trainer.max_steps', '3').status == 0
    resumed = run('fit', '--config', str(config), '--work-dir', 'parts', '--auto-resume')
    assert resumed.status == 0, resumed
    whole, parts = weights('whole/last.ckpt'), weights('parts/last.ckpt')
    assert whole.keys() == parts.keys()
    assert all(value.equal(parts[name]) for name, value in whole.items())

    predicted = run('predict', '--ckpt', 'whole/last.ckpt', '--ckpt', str(trained / 'epoch_2.ckpt'), '--aug-test')
    assert predicted.status == 0, predicted  # together with a model of mmseg
    assert KIND_IN_INFO[kind] in run('info', 'whole/last.ckpt').out
    assert run('report', 'whole').status == 0
    assert Path('whole/report.html').stat().st_size > 10_000
    predictor = seglight.load('whole/last.ckpt', 'cpu')
    image = np.random.default_rng(0).integers(0, 256, (97, 131, 3), np.uint8)
    whole_image = predictor.predict(image, tta=True)
    predictor.module.segmentor.test_cfg = {'mode': 'slide', 'crop_size': [64, 64], 'stride': [40, 40]}
    assert whole_image.shape == predictor.predict(image).shape == (97, 131)
    assert no_network == []


@pytest.mark.slow
def test_weights_for_other_classes_are_loaded_except_the_classifier(kind: str, config: Path, run: Run) -> None:
    once = ['fit', '--config', str(config), '--trainer.max_steps', '1', '--model.optimizer.lr=0']
    assert run(*once, '--work-dir', 'old').status == 0
    flags = [f'--data.classes={[f"class {index}" for index in range(12)]}', '--data.palette=null']
    done = run(*once, *flags, '--work-dir', 'new', '--load-from', 'old/last.ckpt')
    assert done.status == 0, done
    assert 'old/last.ckpt has 11 classes, the data 12: the mismatched weights start from random values' in done.out
    old, new = weights('old/last.ckpt'), weights('new/last.ckpt')
    anew = {name for name in old if old[name].shape != new[name].shape}
    assert anew == {f'segmentor.{name}' for name in CLASSIFIERS[kind]}
    learned = [name for name in old if name not in anew and 'running' not in name and 'num_batches' not in name]
    assert all(old[name].equal(new[name]) for name in learned)


def test_weights_for_classes_of_other_names_are_told(kind: str, config: Path, run: Run) -> None:
    once = ['fit', '--config', str(config), '--trainer.max_steps', '1']
    assert run(*once, '--work-dir', 'old').status == 0
    classes = [f'class {index}' for index in range(11)]
    done = run(*once, '--work-dir', 'new', f'--data.classes={classes}', '--load-from', 'old/last.ckpt')
    assert done.status == 0, done
    assert 'its heads start with what they learned about its own classes' in done.err


@pytest.mark.slow
def test_compiled_parts_give_the_same_loss_and_gradients(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend runs torch's traced operators one by one: what it traces is the library's, the C++ is torch's."""
    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend='aot_eager'))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch.manual_seed(0)
    module = Segmentor(MODELS[kind], list('abcde')).double().eval()  # in float32, rounding decides at a ReLU's corner
    if kind == 'hf masks':
        with pytest.raises(ConfigError, match=r'model\.compile must be false: the loss of mask2former matches masks'):
            compile_parts(module.segmentor, torch.device('cpu'))
        return
    plain = step(module)
    compile_parts(module.segmentor, torch.device('cpu'))
    compiled = step(module)
    assert compiled.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-9, atol=1e-12, msg=name)
    frames = torch._dynamo.utils.counters['frames']
    assert 0 < frames['ok'] == frames['total']


def step(module: Segmentor) -> dict[str, torch.Tensor]:
    """The losses of a batch and the gradients of all parameters."""
    torch.manual_seed(0)
    module.zero_grad()
    losses = {name: mean(value) for name, value in module.losses(random_batch(2, 64)).items()}
    total(losses).backward()
    gradients = {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}
    return {**losses, **gradients}


def models_in(text: str) -> list[dict[str, Any]]:
    """The model dicts in a document."""
    blocks = re.findall(r'```yaml\n(.*?)```', text, re.DOTALL)
    return [yaml.safe_load(block)['model']['segmentor'] for block in blocks]


def test_the_models_in_the_documentation_are_right() -> None:
    page = (Path(__file__).parents[3] / 'docs/how-to/models.md').read_text()
    timm, named, *described, smp_model = models_in(page)
    assert timm['backbone']['pretrained'] is True
    timm['backbone']['pretrained'] = False
    head = Segmentor(timm, list('abc')).segmentor.decode_head
    assert head.in_channels == [384] * 4
    with pytest.raises(
        ConfigError, match=r"name cannot load 'facebook/mask2former-swin-tiny-ade-semantic': .*a folder"
    ):
        Segmentor(named, list('abc'))
    for model in described:
        assert Segmentor(model, list('abc')).segmentor.config.hidden_sizes == [32, 64, 160, 256]
    smp_model['encoder_weights'] = None
    loss = Segmentor(smp_model, list('abc')).segmentor.decode_head.loss_decode
    assert loss.path == 'segmentation_models_pytorch.losses.DiceLoss'


@pytest.mark.slow
def test_the_commands_in_the_page_work(run: Run, tiny_config: Path, trained: Path, data_root: Path) -> None:
    """Those that name this test as the one that runs them; `stories/test_pages.py` runs the others."""
    blocks = [block for block in blocks_of(ROOT / 'docs/how-to/models.md') if 'test_use.py' in block.reason]
    lines = [line for block in blocks for line in block.commands]
    places = {'own.yaml': str(tiny_config), 'exp1': str(trained)}
    quick = ['--data.num_workers=0', '--data.batch_size=2', '--report=false', '--trainer.accelerator=cpu']
    small = ['--model.segmentor.backbone.model_name=test_vit', '--data.train_transforms=[]', f'--data.root={data_root}']
    commands = [line.removeprefix('seglight ') for line in lines]
    assert len(commands) == 2
    for command in commands:
        words = [places.get(word, word) for word in command.split()]
        words += quick if words[0] == 'fit' else []
        words += small if 'dinov3.yaml' in words else []
        result = run(*words)
        assert result.status == 0, result
