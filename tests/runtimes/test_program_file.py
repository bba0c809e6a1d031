"""A changed program of torch.export is not run."""

import zipfile
from pathlib import Path

import pytest
import torch
from runtimes.test_onnx_file import METADATA
from torch import Tensor, nn

from seglight.errors import CheckpointError
from seglight.exporting.formats.to_program import Program
from seglight.exporting.wanted import can_trace
from seglight.runtimes.opening import open_exported, read_metadata

pytestmark = pytest.mark.skipif(not can_trace(), reason='torch before 2.9 writes another archive')


class Pointwise(nn.Module):
    """A convolution whose weights are easy to find in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.convolution.weight, 1.2345)

    def forward(self, image: Tensor) -> Tensor:
        """Return the convolution of an image."""
        output: Tensor = self.convolution(image.float())
        return output


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    path, image = tmp_path / 'm.pt2', torch.ones(1, 3, 4, 5, dtype=torch.uint8)
    with torch.no_grad():
        Program(torch.export.export(Pointwise(), (image,))).save(path, METADATA)
    torch.testing.assert_close(open_exported(path, trust=True)(image), torch.full((1, 2, 4, 5), 3 * 1.2345))
    weights = torch.full((6,), 1.2345).numpy().tobytes()
    data = path.read_bytes()
    assert data.count(weights) == 1
    path.write_bytes(data.replace(weights, torch.full((6,), 9.0).numpy().tobytes()))
    with pytest.raises(CheckpointError, match=r'm\.pt2 is damaged: the checksum of .*weight.* is wrong'):
        open_exported(path, trust=True)(image)


def test_metadata_that_are_compressed_by_lzma_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'm.pt2'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_LZMA) as archive:
        archive.writestr('m/extra/seglight.json', METADATA.text())
    data = bytearray(path.read_bytes())
    data[30 + len('m/extra/seglight.json') + 4] = 255  # properties that do not exist
    path.write_bytes(data)
    with pytest.raises(
        CheckpointError, match=r'm\.pt2 is not a program of torch\.export, or it is truncated or damaged'
    ):
        read_metadata(path)
