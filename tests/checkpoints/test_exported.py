"""An exported file as a checkpoint: the settings in its metadata pass the gate, and its runtime predicts."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from runtimes.test_onnx_file import METADATA, model, written

import seglight
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError, UsageError

pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.extras

CONFIG: dict[str, Any] = {
    'model': {'segmentor': {'test_cfg': {'mode': 'whole'}}, 'mean': [0.0] * 3, 'std': [1.0] * 3},
    'data': {'classes': ['a', 'b'], 'palette': [[0, 0, 0], [9, 9, 9]], 'ignore_index': 255},
}


def exported(folder: Path, config: dict[str, Any] = CONFIG) -> Path:
    """Write a file that predicts class 0 where a pixel has more than half of red."""
    return written(folder / 'm.onnx', model(METADATA.model_copy(update={'config': yaml.safe_dump(config)}).text()))


def test_the_runtime_predicts_whole_and_in_windows(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    expected = (image[..., 0] < 128).astype(np.uint8)
    predictor = seglight.load(exported(tmp_path))
    np.testing.assert_array_equal(predictor.predict(image), expected)
    windows = {'mode': 'slide', 'crop_size': [16, 24], 'stride': [12, 16]}
    predictor = seglight.load(
        exported(tmp_path, {**CONFIG, 'model': {**CONFIG['model'], 'segmentor': {'test_cfg': windows}}})
    )
    assert predictor.module.segmentor.test_cfg['crop_size'] == [16, 24]
    np.testing.assert_array_equal(predictor.predict(image), expected)


@pytest.mark.parametrize(
    ('group', 'values', 'text'),
    [
        ('model', {'segmentor': {'type': 'ExportedSegmentor', 'path': 'other.onnx'}}, "a checkpoint may not name 'ExportedSegmentor'"),
        ('model', {'segmentor': {'test_cfg': {'mode': 'slide', 'crop_size': [64, 64], 'stride': [1, 1]}}}, 'stride'),
        ('data', {'val_transforms': [{'type': 'evil.Flip'}]}, "a checkpoint may not name 'evil.Flip'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_pass_the_gate_are_refused(
    group: str, values: dict[str, Any], text: str, tmp_path: Path
) -> None:
    path = exported(tmp_path, {**CONFIG, group: {**CONFIG[group], **values}})
    with pytest.raises(CheckpointError, match=text):
        seglight.load(path)


def test_a_checkpoint_may_not_name_a_file_to_run(tmp_path: Path) -> None:
    segmentor = {'type': 'ExportedSegmentor', 'path': str(exported(tmp_path)), 'trust': True}
    parameters = {'segmentor': segmentor, 'classes': ['a', 'b']}
    torch.save({'state_dict': {}, 'hyper_parameters': parameters}, tmp_path / 'evil.ckpt')
    with pytest.raises(CheckpointError, match="a checkpoint may not name 'ExportedSegmentor'"):
        Checkpoint(tmp_path / 'evil.ckpt').module()


def test_it_has_no_weights_to_train_with(tmp_path: Path) -> None:
    checkpoint = Checkpoint(exported(tmp_path))
    for use in (checkpoint.verify, checkpoint.contents, lambda: checkpoint.weights):
        with pytest.raises(CheckpointError, match='is an exported model: use the checkpoint that it was exported from'):
            use()
    with pytest.raises(UsageError, match='is an exported model, which cannot be trained'):
        checkpoint.module().segmentor.forward_train(None, None, None)


def test_other_weights_change_the_fingerprint(tmp_path: Path) -> None:
    path = exported(tmp_path)
    before = Checkpoint(path).fingerprint
    made = model(METADATA.text())
    made.graph.initializer[0].raw_data = np.array([2.0, -2.0], np.float32).tobytes()
    assert Checkpoint(written(path, made)).fingerprint != before


def test_a_copy_loads_the_file_again(tmp_path: Path) -> None:
    segmentor = Checkpoint(exported(tmp_path)).module().segmentor
    image = torch.zeros(1, 3, 4, 5)
    expected = segmentor.encode_decode(image, None)
    assert torch.equal(pickle.loads(pickle.dumps(segmentor)).encode_decode(image, None), expected)
