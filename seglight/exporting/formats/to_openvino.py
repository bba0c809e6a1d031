"""Translate an ONNX model to OpenVINO's intermediate representation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight.errors import UsageError, one_line
from seglight.exporting.formats.to_onnx import OnnxModel
from seglight.runtimes.metadata import NAME, Metadata


class OpenvinoModel:
    """A model that is ready to be written.

    Args:
        model: of OpenVINO.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def save(self, path: Path, metadata: Metadata) -> None:
        """Write the operators with the metadata, and the weights next to them."""
        import openvino

        self.model.set_rt_info(metadata.text(), [NAME])
        openvino.save_model(self.model, path, compress_to_fp16=False)


def to_openvino(model: OnnxModel) -> OpenvinoModel:
    """Translate an ONNX model.

    Raises:
        UsageError: for an operator that OpenVINO does not have, or more than 2 GiB.
    """
    import openvino

    data = model.data()
    try:
        return OpenvinoModel(openvino.Core().read_model(data, b''))
    except RuntimeError as error:
        raise UsageError(
            f'export: OpenVINO cannot read the model: {one_line(error)[:300]}; use --format onnx'
        ) from error
