"""Until an average of the weights exists, the trained weights count."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Result

Run = Callable[..., Result]

PLAIN = ['--trainer.max_epochs=2', '--model.optimizer.lr=0.1']
LATE = ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.update_starting_at_step']


def weights(path: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)['state_dict']
    return found


def figures(folder: str) -> list[str]:
    lines = Path(folder, 'metrics.csv').read_text().splitlines()
    place = lines[0].split(',').index('val/mIoU')
    return [line.split(',')[place] for line in lines[1:]]


@pytest.mark.parametrize(('start', 'alike'), [(100, [True, True]), (3, [True, True]), (2, [True, False])])
def test_a_run_is_that_without_averaging_until_the_first_update(
    tiny_config: Path, run: Run, start: int, alike: list[bool]
) -> None:
    assert run('fit', '--config', tiny_config, *PLAIN, '--work-dir', 'plain').status == 0
    late = run('fit', '--config', tiny_config, *PLAIN, LATE[0], f'{LATE[1]}={start}', '--work-dir', 'late')
    assert late.status == 0, late.err
    for epoch, same in zip((1, 2), alike, strict=True):
        own, other = weights(f'plain/epoch_{epoch}.ckpt'), weights(f'late/epoch_{epoch}.ckpt')
        assert all(torch.equal(value, other[name]) for name, value in own.items()) == same
    if all(alike):
        assert figures('plain') == figures('late')
