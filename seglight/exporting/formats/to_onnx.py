"""Translate a traced graph to ONNX."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch

from seglight.errors import UsageError, one_line
from seglight.runtimes.metadata import Metadata
from seglight.runtimes.onnx_file import set_metadata

#: An operator of torch in a message of the exporter.
_OPERATOR = re.compile(r'\b(?:aten|prims|torchvision)[.:]+\w+(?:\.\w+)?')


class OnnxModel:
    """A model that is ready to be written.

    Args:
        proto: the model.
    """

    def __init__(self, proto: Any) -> None:
        self.proto = proto

    def save(self, path: Path, metadata: Metadata) -> None:
        """Write the model with its metadata.

        Raises:
            UsageError: if it has more than 2 GiB, which one file of ONNX cannot hold.
        """
        set_metadata(self.proto, metadata)
        path.write_bytes(self.data())

    def data(self) -> bytes:
        """Return the bytes of the file.

        Raises:
            UsageError: if it has more than 2 GiB, which one file of ONNX cannot hold.
        """
        from google.protobuf.message import EncodeError

        try:
            data: bytes = self.proto.SerializeToString()
        except (EncodeError, ValueError) as error:  # of protobuf in C, and in Python
            raise UsageError(
                'export: the model has more than the 2 GiB that a file of ONNX can hold; use --format torch'
            ) from error
        return data


def to_onnx(program: torch.export.ExportedProgram, output: str) -> OnnxModel:
    """Translate a traced graph.

    Args:
        program: from `seglight.exporting.program`.
        output: the name of its output.

    Raises:
        UsageError: for an operator that ONNX does not have; names it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            translated = torch.onnx.export(
                program, dynamo=True, external_data=False, verbose=False, input_names=['image'], output_names=[output]
            )
    except Exception as error:  # torch's exporter and onnxscript have many errors
        named = _OPERATOR.search(str(error))
        what = f'the operator {named[0]} has no translation' if named else one_line(error)[:300]
        raise UsageError(f'export: the model cannot be written as ONNX: {what}; use --format torch') from error
    assert translated is not None
    return OnnxModel(translated.model_proto)
