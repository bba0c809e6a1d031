"""Static quantisation to 8 bits, calibrated on images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from seglight.exporting.formats.to_onnx import OnnxModel

#: The operators whose weights and features become integers; all others stay in float32.
OPERATORS = ['Conv', 'Gemm', 'MatMul']


def quantised(model: OnnxModel, images: Iterable[Tensor]) -> OnnxModel:
    """Return a model whose convolutions and matrix products take 8-bit integers.

    The range of each feature is that on the images; each channel of a weight has its own.

    Args:
        model: in float32.
        images: for the calibration, uint8 `[1, 3, H, W]`.
    """
    import onnx
    from onnxruntime import quantization

    logging.getLogger().addFilter(_without_advice)
    copied = onnx.ModelProto()
    copied.CopyFrom(model.proto)  # onnxruntime moves the weights of what it is given into other files
    with TemporaryDirectory() as folder:
        target = Path(folder, 'int8.onnx')
        quantization.quantize_static(
            copied,
            target,
            _Images(images),
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return OnnxModel(onnx.load_model(target))


class _Images:
    """Gives onnxruntime the images one by one; it calls `get_next` until there are none."""

    def __init__(self, images: Iterable[Tensor]) -> None:
        self.images: Iterator[Tensor] = iter(images)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image by the name of the input."""
        image = next(self.images, None)
        return None if image is None else {'image': image.numpy()}


def _without_advice(record: logging.LogRecord) -> bool:
    """Drop the advice to process the model first, which the exporter has already done; a filter for `logging`."""
    return 'pre-process' not in record.getMessage()
