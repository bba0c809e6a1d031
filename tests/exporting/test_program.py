"""A traced graph takes images of any size, down to one pixel."""

import copy
import io

import numpy as np
import pytest
import torch
from parity.architectures import ARCHITECTURES

from seglight.exporting.graph import Graph
from seglight.exporting.program import program_of
from seglight.exporting.sizes import padding_of
from seglight.exporting.wanted import can_trace
from seglight.models import Segmentor

pytestmark = pytest.mark.skipif(not can_trace(), reason='torch before 2.9 cannot trace for images of any size')

SIZES = [(1, 1), (1, 5), (5, 7), (16, 33), (32, 32), (33, 128), (64, 40), (97, 130)]


@pytest.mark.parametrize('count', [1, 2])
@pytest.mark.parametrize('size', SIZES)
def test_a_program_predicts_as_mmseg_at_every_size(
    size: tuple[int, int], count: int, fpn: tuple[Segmentor, torch.nn.Module]
) -> None:
    module, program = fpn
    image = np.random.default_rng(0).integers(0, 256, (count, 3, *size), dtype=np.uint8)
    mean, std = (value.numpy().reshape(3, 1, 1) for value in (module.mean, module.std))
    normal = torch.from_numpy(((image - mean) / std).astype(np.float32))
    with torch.no_grad():
        torch.testing.assert_close(
            program(torch.from_numpy(image)), module.segmentor.encode_decode(normal, None), atol=1e-5, rtol=1e-4
        )


@pytest.mark.slow
def test_a_program_of_a_swin_takes_images_of_any_size_and_number() -> None:
    torch.manual_seed(0)
    module = Segmentor(copy.deepcopy(ARCHITECTURES['UPerNet with Swin']), list('abcde')).eval()
    program = program_of(Graph(module, padding_of(module.segmentor)), None).module()
    for size in [(1, 1), (5, 7), (28, 56), (33, 128), (97, 130)]:
        for count in (1, 2):
            image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, *size), dtype=np.uint8))
            normal = (image - module.mean.view(3, 1, 1)) / module.std.view(3, 1, 1)
            with torch.no_grad():
                torch.testing.assert_close(
                    program(image), module.segmentor.encode_decode(normal, None), atol=1e-5, rtol=1e-4
                )


@pytest.fixture(scope='module')
def fpn() -> tuple[Segmentor, torch.nn.Module]:
    """A semantic FPN, whose head enlarges with mmseg's `Upsample`, and its program, written and read again."""
    torch.manual_seed(0)
    module = Segmentor(copy.deepcopy(ARCHITECTURES['semantic FPN']), list('abcde')).eval()
    file = io.BytesIO()
    torch.export.save(program_of(Graph(module, padding_of(module.segmentor)), None), file)
    file.seek(0)
    return module, torch.export.load(file).module()
