"""A model that no file of ONNX can hold."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from runtimes.test_onnx_file import METADATA

from seglight.errors import UsageError
from seglight.exporting.formats.to_onnx import OnnxModel
from seglight.exporting.formats.to_openvino import to_openvino

onnx = pytest.importorskip('onnx')
message = pytest.importorskip('google.protobuf.message')
pytestmark = pytest.mark.extras


def to_a_file(model: OnnxModel, folder: Path) -> None:
    model.save(folder / 'm.onnx', METADATA)


def to_another_format(model: OnnxModel, _: Path) -> None:
    pytest.importorskip('openvino')
    to_openvino(model)


@pytest.mark.parametrize('write', [to_a_file, to_another_format])
@pytest.mark.parametrize(
    'error', [message.EncodeError('Failed to serialize proto'), ValueError('exceeds maximum protobuf size of 2GB')]
)
def test_more_than_2_gib_are_refused(
    write: Callable[[OnnxModel, Path], None], error: Exception, tmp_path: Path
) -> None:
    def fail() -> bytes:
        raise error  # as protobuf in C, or in Python, for a model of this size

    proto: Any = SimpleNamespace(metadata_props=onnx.ModelProto().metadata_props, SerializeToString=fail)
    with pytest.raises(UsageError) as caught:
        write(OnnxModel(proto), tmp_path)
    text = 'export: the model has more than the 2 GiB that a file of ONNX can hold; use --format torch'
    assert str(caught.value) == text
    assert not list(tmp_path.iterdir())
