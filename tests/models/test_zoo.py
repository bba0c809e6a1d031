"""Every model of mmseg's zoo can be built, and one of each family takes a training step."""

import gc
import importlib.util
import json
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from seglight.batch import Batch, ImageMeta
from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.zoo import find_zoo, zoo_names
from seglight.config.settings import dicts
from seglight.models import Segmentor
from seglight.models.first_batch import check_first_batch, loss_names
from seglight.models.pretrained import without_pretrained
from seglight.tools.zoo import parameter_counts

#: The model with the fewest parameters of each family, by the counts that the list of models shows.
SMALLEST: dict[str, str] = {}
for name, _ in sorted(parameter_counts().items(), key=lambda item: -item[1]):
    SMALLEST[name.split('/')[0]] = name


@pytest.fixture(scope='module')
def counting() -> ModuleType:
    path = Path(__file__).parents[2] / 'scripts' / 'count_parameters.py'
    spec = importlib.util.spec_from_file_location('count_parameters', path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def model_dict(name: str) -> dict[str, Any]:
    model: dict[str, Any] = without_pretrained(read_mmseg_config(find_zoo(name))['model'])
    for _, part in dicts(model):
        if isinstance(part.get('class_weight'), list):
            part['class_weight'] = None  # they are for the classes of one data set
    return model


@pytest.mark.slow
def test_every_model_is_built_with_the_listed_number_of_parameters(counting: ModuleType) -> None:
    counts = parameter_counts()
    seen: dict[str, str] = {}
    for name in zoo_names():
        model = read_mmseg_config(find_zoo(name))['model']
        first = seen.setdefault(json.dumps(model, sort_keys=True), name)
        assert counts[name] == (counting.count(model) if first == name else counts[first]), name
    assert len(seen) == 398  # of 644; the others differ only in data, crops or schedule


@pytest.mark.slow
@pytest.mark.parametrize('family', sorted(SMALLEST))
def test_one_model_of_each_family_takes_a_training_step(family: str) -> None:
    model = model_dict(SMALLEST[family])
    if family in ('beit', 'mae'):
        model['backbone']['img_size'] = 64  # their position embeddings fit one size
    side = 400 if family == 'mobilenet_v3' else 64  # LR-ASPP pools 49x49 features
    torch.manual_seed(0)
    module = Segmentor(model, [f'class {index}' for index in range(5)])
    image = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8)
    meta: list[ImageMeta] = [{'path': '', 'name': '', 'original_size': (side, side), 'size': (side, side)}] * 2
    batch: Batch = {'image': image, 'mask': torch.randint(0, 5, (2, side, side), dtype=torch.uint8), 'meta': meta}
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3)
    before = [parameter.detach().clone() for parameter in module.segmentor.decode_head.parameters()]
    assert check_first_batch(module.segmentor, 2, (side, side)) == (side, side)
    assert loss_names(module.segmentor) == list(module.losses(batch))
    loss = module.training_step(batch, 0)
    assert loss is not None
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    after = list(module.segmentor.decode_head.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    kept = weakref.ref(module.segmentor)
    del module, optimizer
    gc.collect()
    assert kept() is None
