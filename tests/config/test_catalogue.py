"""The table of models of other libraries says what these libraries say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seglight.config.catalogue import HF_NAME, LIBRARIES, SMP_ARCHITECTURE, SMP_ENCODER, TIMM_NAME, catalogue, names

pytestmark = pytest.mark.extras


def test_every_row_has_a_key_and_no_name_occurs_twice() -> None:
    assert {model.key for model in catalogue()} == {key for keys in LIBRARIES.values() for key in keys} - {'model.zoo'}
    listed = [(model.key, model.name) for model in catalogue()]
    assert len(set(listed)) == len(listed)
    assert all(model.parameters is None or model.parameters > 1000 for model in catalogue())


def test_timms_licences_and_addresses_are_those_in_its_own_table() -> None:
    timm: Any = pytest.importorskip('timm')
    listed = {model.name: model for model in catalogue() if model.key == TIMM_NAME}
    assert len(listed) > 1000
    for name, model in listed.items():
        config = timm.get_pretrained_cfg(name)
        assert model.licence == (getattr(config, 'license', None) or '')
        assert model.weights.endswith(getattr(config, 'hf_hub_id', None) or getattr(config, 'url', None) or '')


@pytest.mark.parametrize('name', ['resnet18.a1_in1k', 'convnextv2_atto.fcmae', 'vit_tiny_patch16_224.augreg_in21k'])
def test_a_backbone_has_the_listed_number_of_parameters(name: str) -> None:
    timm: Any = pytest.importorskip('timm')
    with torch.device('meta'):
        backbone = timm.create_model(name, features_only=True)
    (listed,) = [model.parameters for model in catalogue() if model.name == name]
    assert listed == sum(parameter.numel() for parameter in backbone.parameters())


def test_published_sizes_of_segformer_are_counted() -> None:
    counts = {model.name: model.parameters for model in catalogue() if model.key == HF_NAME}
    published = {'b0': 3.8, 'b1': 13.7, 'b2': 27.5, 'b3': 47.3, 'b4': 64.1, 'b5': 84.7}  # arXiv:2105.15203, table 1
    for size, millions in published.items():
        pixels = 640 if size == 'b5' else 512
        count = counts[f'nvidia/segformer-{size}-finetuned-ade-{pixels}-{pixels}']
        assert count is not None
        assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_smps_architectures_and_encoders_are_listed() -> None:
    smp: Any = pytest.importorskip('segmentation_models_pytorch')
    assert set(names(SMP_ENCODER)) <= set(smp.encoders.get_encoder_names())
    assert {'resnet18', 'mit_b0', 'mobilenet_v2'} <= set(names(SMP_ENCODER))
    assert set(names(SMP_ARCHITECTURE)) == {cls.__name__ for cls in smp.MODEL_ARCHITECTURES_MAPPING.values()}
