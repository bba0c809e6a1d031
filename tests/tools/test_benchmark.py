"""The table of speed and memory."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Result
from torch import nn

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import UsageError
from seglight.models import Segmentor
from seglight.tools.benchmark import Measured, Plan, _device, table

Run = Callable[..., Result]


def test_the_table_has_median_percentile_and_rate() -> None:
    found = Measured('a.ckpt', [0.001 * each for each in range(1, 41)], 2_500_000, 3_000_000_000, 4_000_000)
    title, row = table([found], 4)
    assert title.split() == [
        'file',
        'median',
        'ms',
        'p95',
        'ms',
        'images/s',
        'memory',
        'MB',
        'GFLOPs',
        'M',
        'parameters',
    ]
    # of 1 to 40 ms: the median is 20.5, and 38 values are at most 38
    assert row.split() == ['a.ckpt', '20.5', '38.0', f'{4 / 0.0205:.2f}', '4', '3', '2.50']


def operations_of_convolutions(module: Segmentor, height: int, width: int) -> int:
    """Count two operations for each weight at each pixel of each convolution, in the forward pass of an image."""
    counts: list[int] = []

    def count(part: nn.Module, _: object, output: torch.Tensor) -> None:
        assert isinstance(part, nn.Conv2d)
        counts.append(2 * part.weight.numel() * output[0, 0].numel())

    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(count)
    with torch.inference_mode():
        module.segmentor.encode_decode(torch.zeros(1, 3, height, width), None)
    return sum(counts)


@pytest.mark.slow
def test_checkpoints_take_turns(trained: Path, workspace: Path, run: Run) -> None:
    done = run('benchmark', trained / 'epoch_1.ckpt', '--size', '32', '48', '--rounds', '3', '--batch-size', '2')
    assert done.status == 0, done.err
    _, row = done.out.splitlines()
    name, median, late, rate, memory, flops, parameters = row.split()
    assert name == str(trained / 'epoch_1.ckpt')
    assert 0 < float(median) <= float(late) + 0.1
    assert float(rate) == pytest.approx(2000 / float(median), rel=0.1)
    assert float(memory) > 50
    module = Checkpoint(trained / 'epoch_1.ckpt').module()
    assert float(parameters) == pytest.approx(sum(each.numel() for each in module.parameters()) / 1e6, abs=0.01)
    assert float(flops) == pytest.approx(operations_of_convolutions(module, 32, 48) / 1e9, rel=0.01)


def test_what_cannot_be_measured_is_said(trained: Path, workspace: Path, run: Run) -> None:
    for argv, text in (
        (['nothing.onnx'], "Checkpoint 'nothing.onnx' was not found"),
        ([trained / 'epoch_1.ckpt', '--rounds', '0'], 'sizes, batch size, rounds and threads must be at least 1'),
        ([trained / 'epoch_1.ckpt', '--device', 'gpu'], "benchmark: --device must be one of this machine, got 'gpu': "),
    ):
        done = run('benchmark', *argv)
        assert (done.status, text in done.err) == (2, True), done.err


@pytest.mark.parametrize('name', ['gpu', 'cuda:63', 'cuda:x', 'meta', 'fpga', 'xla', 'cpu:-2', ' '])
def test_a_device_that_the_machine_lacks_is_named(name: str) -> None:
    assert _device(Plan(device='cpu')) == 'cpu'
    with pytest.raises(UsageError, match=f"benchmark: --device must be one of this machine, got '{name}': ") as caught:
        _device(Plan(device=name))
    assert '\n' not in str(caught.value)
