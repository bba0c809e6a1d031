"""OpenVINO's intermediate representation: an .xml with the operators, and a .bin with their weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor

from seglight.errors import CheckpointError
from seglight.extras import import_extra
from seglight.runtimes.base import Runtime
from seglight.runtimes.metadata import NAME, Metadata, parse
from seglight.weight_files import opened

EXTRA = 'openvino'

#: Limit of the .xml in bytes; a large model's has one megabyte.
MOST_XML = 64 << 20

#: How OpenVINO runs a model: in float32, not in bfloat16 where the processor has it, and without its cache of kernels.
#: OpenVINO 2026.4 gives the kernel of an attention with one key to the same attention with more keys, whose output is
#: then wrong: images of other sizes follow a small one.
SETTINGS = {'INFERENCE_PRECISION_HINT': 'f32', 'CPU_RUNTIME_CACHE_CAPACITY': 0}

#: The elements with the graphs of loops and branches.
BODIES = ('body', 'then_body', 'else_body')


class OpenvinoFile(Runtime):
    """Runs a model of OpenVINO on the CPU, in float32 where the file has float32."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_metadata(path))

    def run(self, image: Tensor) -> Tensor:
        """Run the model on images of a size that it takes."""
        if 'cpu' not in self._loaded:
            self._loaded['cpu'] = self._load()
        output = self._loaded['cpu'](image.cpu().contiguous().numpy())[0]
        return torch.from_numpy(output.copy()).to(image.device)  # OpenVINO uses its memory again

    def _load(self) -> Any:
        openvino = import_extra('openvino', EXTRA, str(self.path))
        core = openvino.Core()
        settings = {**SETTINGS, 'INFERENCE_NUM_THREADS': torch.get_num_threads()}
        return core.compile_model(core.read_model(self.path, self.path.with_suffix('.bin')), 'CPU', settings)


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of a file without loading its model.

    Raises:
        CheckpointError: if it is damaged, its weights are missing, or it has no metadata.
    """
    with opened(path) as file:
        text = file.read(MOST_XML + 1)
    if len(text) > MOST_XML:
        raise CheckpointError(f'{path} is refused: it has more than {MOST_XML:,} bytes')
    try:
        root = _root(text, path)
    except (ElementTree.ParseError, ValueError) as error:
        raise CheckpointError(f'{path} is not a model of OpenVINO, or it is truncated or damaged') from error
    if root.tag != 'net':
        raise CheckpointError(f'{path} is not a model of OpenVINO')
    if fault := _fault(root):
        raise CheckpointError(f'{path} is refused: {fault}')
    with opened(path.with_suffix('.bin')):
        pass
    value = root.find(f'./rt_info/{NAME}')
    return parse(None if value is None else value.get('value'), path)


def _root(data: bytes, path: Path) -> ElementTree.Element:
    """Return the outermost element of an XML in UTF-8, whatever encoding it declares.

    Raises:
        CheckpointError: if it defines entities.
        ElementTree.ParseError, ValueError: if it is not such an XML.
    """
    text = data.decode()
    if '<!DOCTYPE' in text or '<!ENTITY' in text:  # entities that name each other grow without bound
        raise CheckpointError(f'{path} is refused: it defines entities of its own')
    if '\0' in text:  # from which the parser would take it for UTF-16
        raise ValueError
    return ElementTree.fromstring(text)  # for a text, it does not heed the declaration


def _fault(root: ElementTree.Element) -> str:
    """Return why a model may not be run, empty if it may; as for ONNX, each of its operators then runs once."""
    if any(each.tag.startswith('{') for each in root.iter()):  # which OpenVINO reads like the others
        return 'it has names of another namespace'
    if any(next(root.iter(name), None) is not None for name in BODIES):
        return 'one of its operators has a graph of its own'
    for layer in root.iter('layer'):
        if not re.fullmatch(r'opset\d{1,3}', layer.get('version', '')):
            return f'it needs the operator {layer.get("type")} of {layer.get("version")}'
    return ''
