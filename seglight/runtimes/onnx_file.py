"""ONNX files: what an untrusted one may contain, and onnxruntime, which runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seglight.errors import CheckpointError
from seglight.extras import import_extra
from seglight.runtimes.base import Runtime
from seglight.runtimes.metadata import NAME, Metadata, parse
from seglight.weight_files import opened

EXTRA = 'onnx'

#: The domains of standard operators; all others are a library's own.
STANDARD = ('', 'ai.onnx')

#: The fault of weights of a kind that no export has.
SPARSE = 'it has sparse tensors'

#: The device types of torch that onnxruntime may have a provider for.
PROVIDERS = {'cuda': 'CUDAExecutionProvider', 'cpu': 'CPUExecutionProvider'}


class OnnxFile(Runtime):
    """Runs an ONNX file on the device of its images, or on the CPU if onnxruntime has no provider for the device."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_metadata(path))

    def run(self, image: Tensor) -> Tensor:
        """Run the file on images of a size that it takes."""
        session = self._session(image.device)
        name = session.get_inputs()[0].name
        (output,) = session.run(None, {name: image.cpu().contiguous().numpy()})
        return torch.from_numpy(output).to(image.device)

    def _session(self, device: torch.device) -> Any:
        runtime = import_extra('onnxruntime', EXTRA, str(self.path))
        provider = PROVIDERS.get(device.type, PROVIDERS['cpu'])
        if provider not in runtime.get_available_providers():
            provider = PROVIDERS['cpu']
        if provider not in self._loaded:
            options = runtime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3  # errors alone
            where: Any = (provider, {'device_id': device.index or 0}) if device.type == 'cuda' else provider
            self._loaded[provider] = runtime.InferenceSession(str(self.path), options, providers=[where])
        return self._loaded[provider]


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of a file that passes the checks.

    Raises:
        CheckpointError: if it is damaged, or contains anything but standard operators and their weights.
    """
    onnx = import_extra('onnx', EXTRA, str(path))
    with opened(path) as file:
        data = file.read()
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's and onnx's own, for damaged bytes
        raise CheckpointError(f'{path} is not an ONNX file, or it is truncated or damaged') from error
    if fault := _fault(model):
        raise CheckpointError(f'{path} is refused: {fault}')
    texts = [each.value for each in model.metadata_props if each.key == NAME]
    return parse(texts[0] if texts else None, path)


def _fault(model: Any) -> str:
    """Return why a model may not be run, empty if it may.

    Without functions and without graphs in graphs, all its operators are in one list, and each runs once.
    """
    import onnx

    graph = model.graph
    if model.functions:
        return 'it defines functions of its own'
    if graph.sparse_initializer:
        return SPARSE
    tensors = [*graph.initializer]
    for node in graph.node:
        if node.domain not in STANDARD:
            return f'it needs the operator {node.op_type} of {node.domain}'
        for attribute in node.attribute:
            if attribute.HasField('g') or attribute.graphs:
                return f'its operator {node.op_type} has a graph of its own'
            if attribute.HasField('sparse_tensor') or attribute.sparse_tensors:
                return SPARSE
            tensors += [attribute.t, *attribute.tensors]
    if any(each.external_data or each.data_location == onnx.TensorProto.EXTERNAL for each in tensors):
        return 'its weights are in other files'
    inputs = [each.type.tensor_type for each in graph.input]
    if len(inputs) != 1 or inputs[0].elem_type != onnx.TensorProto.UINT8 or len(inputs[0].shape.dim) != 4:
        return 'its input is not one uint8 tensor [B, 3, H, W]'
    return '' if len(graph.output) == 1 else 'it has more than one output'


def set_metadata(model: Any, metadata: Metadata) -> None:
    """Put metadata into a model, in place of those that it has."""
    del model.metadata_props[:]
    model.metadata_props.add(key=NAME, value=metadata.text())
