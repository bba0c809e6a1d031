"""What an ONNX file of a stranger may not contain."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seglight.errors import CheckpointError, ConfigError, UsageError
from seglight.runtimes.metadata import NAME, Metadata
from seglight.runtimes.onnx_file import read_metadata
from seglight.runtimes.opening import open_exported

onnx = pytest.importorskip('onnx')
pytestmark = pytest.mark.extras

METADATA = Metadata(
    run='exp1/a.ckpt', classes=['a', 'b'], palette=[[0, 0, 0], [9, 9, 9]], ignore_index=255, output='logits',
    align_corners=False, channels=2, threshold=0.0, precision='float32', size=None, largest=None, config='', versions={},
)  # fmt: skip


def model(metadata: str | None = METADATA.text()) -> Any:
    """Return a model whose logits are the red channel and what is left to 255 of it."""
    tensor, helper = onnx.TensorProto, onnx.helper
    values = {'sign': [[[[1.0]], [[-1.0]]]], 'offset': [[[[0.0]], [[255.0]]]]}
    constants = [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in values.items()]
    nodes = [
        helper.make_node('Cast', ['image'], ['pixels'], to=tensor.FLOAT),
        helper.make_node('Slice', ['pixels', 'zero', 'one', 'one'], ['red']),
        helper.make_node('Mul', ['red', 'sign'], ['signed']),
        helper.make_node('Add', ['signed', 'offset'], ['logits']),
    ]
    whole = [onnx.numpy_helper.from_array(np.array([value]), name) for name, value in (('zero', 0), ('one', 1))]
    graph = helper.make_graph(
        nodes,
        'graph',
        [helper.make_tensor_value_info('image', tensor.UINT8, ['b', 3, 'h', 'w'])],
        [helper.make_tensor_value_info('logits', tensor.FLOAT, ['b', 2, 'h', 'w'])],
        [*constants, *whole],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)
    if metadata is not None:
        made.metadata_props.add(key=NAME, value=metadata)
    return made


def written(path: Path, made: Any) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def test_a_file_of_standard_operators_runs(tmp_path: Path) -> None:
    runtime = open_exported(written(tmp_path / 'm.onnx', model()))
    image = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8)
    logits = runtime(image)
    torch.testing.assert_close(logits, torch.stack([image[:, 0].float(), 255 - image[:, 0].float()], 1))
    assert runtime.metadata == METADATA


def with_operator(made: Any) -> None:
    made.graph.node[2].domain = 'evil.ops'


def with_function(made: Any) -> None:
    made.functions.add(name='f', domain='evil.ops')


def with_graph(made: Any) -> None:
    made.graph.node[2].attribute.add(name='body', type=onnx.AttributeProto.GRAPH).g.name = 'inner'


def with_other_file(made: Any) -> None:
    tensor = made.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../../etc/passwd')


def with_other_file_in_a_constant(made: Any) -> None:
    attribute = made.graph.node[0].attribute.add(name='value', type=onnx.AttributeProto.TENSOR)
    attribute.t.external_data.add(key='location', value='/etc/passwd')


def with_sparse_weights(made: Any) -> None:
    tensor = made.graph.sparse_initializer.add()
    tensor.indices.external_data.add(key='location', value='/etc/passwd')


def with_a_sparse_constant(made: Any) -> None:
    attribute = made.graph.node[0].attribute.add(name='value', type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.values.external_data.add(key='location', value='/etc/passwd')


def with_sparse_constants(made: Any) -> None:
    attribute = made.graph.node[0].attribute.add(name='values', type=onnx.AttributeProto.SPARSE_TENSORS)
    attribute.sparse_tensors.add().indices.data_location = onnx.TensorProto.EXTERNAL


def with_float_input(made: Any) -> None:
    made.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def with_two_outputs(made: Any) -> None:
    made.graph.output.append(made.graph.output[0])


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (with_operator, 'is refused: it needs the operator Mul of evil.ops'),
        (with_function, 'is refused: it defines functions of its own'),
        (with_graph, 'is refused: its operator Mul has a graph of its own'),
        (with_other_file, 'is refused: its weights are in other files'),
        (with_other_file_in_a_constant, 'is refused: its weights are in other files'),
        (with_sparse_weights, 'is refused: it has sparse tensors'),
        (with_a_sparse_constant, 'is refused: it has sparse tensors'),
        (with_sparse_constants, 'is refused: it has sparse tensors'),
        (with_float_input, 'is refused: its input is not one uint8 tensor [B, 3, H, W]'),
        (with_two_outputs, 'is refused: it has more than one output'),
    ],
)
def test_anything_else_is_refused(change: Callable[[Any], None], text: str, tmp_path: Path) -> None:
    made = model()
    change(made)
    path = written(tmp_path / 'm.onnx', made)
    with pytest.raises(CheckpointError) as caught:
        read_metadata(path)
    assert str(caught.value) == f'{path} {text}'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'has no metadata of seglight: export it with `seglight export`'),
        ('{', 'has invalid metadata: its text: Invalid JSON: EOF while parsing an object at line 1 column 1'),
        ('[' * 100_000, 'has invalid metadata: its text: Invalid JSON: recursion limit exceeded at line 1 column 202'),
        (METADATA.text().replace('"channels":2', '"channels":7'), 'has invalid metadata: its classes, colours and channels differ in number'),
        (METADATA.text().replace('"logits"', '"boxes"'), "has invalid metadata: output: Input should be 'logits' or 'mask'"),
        (METADATA.text().replace('"format":1', '"format":2'), 'has invalid metadata: format: Input should be 1'),
    ],
)  # fmt: skip
def test_wrong_metadata_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / 'm.onnx', model(text))
    with pytest.raises(CheckpointError) as caught:
        read_metadata(path)
    assert str(caught.value) == f'{path} {message}'


@pytest.mark.parametrize('suffix', ['.onnx', '.pt2', '.xml'])
@pytest.mark.parametrize('data', [b'', b'\0' * 100, b'PK\3\4 not a zip', b'<net', model().SerializeToString()[:-9]])
def test_damaged_files_are_refused_in_one_line(suffix: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f'm{suffix}'
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        open_exported(path, trust=True)


def test_a_size_that_the_file_does_not_take_is_named(tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 5, 7, dtype=torch.uint8)
    for changes, text in (
        ({'size': [4, 7]}, 'takes only images of 7x4, got 7x5'),
        ({'largest': [9, 6]}, 'takes images up to 6x9, got 7x5'),
    ):
        path = written(tmp_path / 'm.onnx', model(METADATA.model_copy(update=changes).text()))
        with pytest.raises(UsageError) as caught:
            open_exported(path)(image)
        assert f'{path} {text}' in str(caught.value)


@pytest.mark.parametrize(
    ('changes', 'expected'), [({'channels': 1}, '[1, 1, 5, 7]'), ({'output': 'mask'}, '[1, 5, 7]')], ids=str
)
def test_an_output_that_is_not_what_the_metadata_say_is_refused(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = written(tmp_path / 'm.onnx', model(METADATA.model_copy(update=changes).text()))
    with pytest.raises(UsageError) as caught:
        open_exported(path)(torch.zeros(1, 3, 5, 7, dtype=torch.uint8))
    assert str(caught.value) == f'{path} cannot run on images of 7x5: its output is [1, 2, 5, 7] instead of {expected}'


def test_a_missing_runtime_is_no_fault_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / 'm.onnx', model())
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ConfigError) as caught:
        open_exported(path)(torch.zeros(1, 3, 5, 7, dtype=torch.uint8))
    assert str(caught.value) == f"{path} needs onnxruntime, which is not installed: pip install 'seglight[onnx]'"
