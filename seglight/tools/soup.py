"""Average the weights of checkpoints of one architecture (a model soup, arXiv:2203.05482).

The statistics of BatchNorm belong to other weights than the averaged ones; they are estimated anew on the training
data that the first checkpoint names.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from seglight.batch import Batch
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.settings import Settings
from seglight.counting import counted
from seglight.data import SegmentationDataModule
from seglight.errors import CheckpointError, UsageError
from seglight.files import open_atomically
from seglight.models.segmentor import Segmentor

#: What a soup takes over from the first checkpoint; it cannot be trained on where one of them was.
KEPT = ('hyper_parameters', 'config', 'environment', 'epoch', 'global_step', 'pytorch-lightning_version')


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('checkpoints', nargs='+', help='Two or more; a path, or relative to work_dirs.')
    parser.add_argument('--weights', nargs='+', type=float, help='A number above zero for each; equal by default.')
    parser.add_argument('--output', required=True, help='Checkpoint to write; it must not exist.')
    parser.add_argument('--root', help='Folder of the training data, where it has moved.')
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='Let the checkpoints, your own, name classes of any package.'
    )
    parser.add_argument('--batches', type=int, default=200, help='Training batches to estimate BatchNorm on, at most.')


def run(arguments: Namespace) -> None:
    """Write the averaged checkpoint.

    Raises:
        ConfigError: for wrong weights or an output that exists.
    """
    trust, output = arguments.trust_checkpoint, Path(arguments.output)
    checkpoints = [Checkpoint.find(name, trust, mapped=True) for name in arguments.checkpoints]
    weights = arguments.weights or [1.0] * len(checkpoints)
    if len(checkpoints) < 2 or len(weights) != len(checkpoints) or min(weights) <= 0:
        raise UsageError('soup: name two or more checkpoints, and as many --weights above zero or none')
    if output.exists():
        raise UsageError(f'soup: {output} exists; name another --output or remove it')
    first = checkpoints[0]
    module = first.build(Segmentor)
    for each in checkpoints[1:]:
        if each.classes and each.classes != module.classes:
            raise CheckpointError(f'soup: {each} has other classes than {first}, or the same in another order')
    first.load_into(module, averaged(checkpoints, weights))
    batches = 0
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
        batches = estimate_statistics(module, first, arguments.root, arguments.batches)
    made = {name: first.entries[name] for name in KEPT if name in first.entries}
    made['state_dict'] = module.state_dict()
    with open_atomically(output) as file:
        torch.save(made, file)
    print(f'{output} averages {len(checkpoints)} checkpoints; BatchNorm was estimated on {counted(batches, "batch")}')


def averaged(checkpoints: Sequence[Checkpoint], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of each weight; what is no fraction, such as a counter, is that of the first.

    Raises:
        CheckpointError: if they are not of one architecture.
    """
    total: dict[str, Tensor] = {}
    for checkpoint, weight in zip(checkpoints, weights, strict=True):
        state = checkpoint.weights
        wrong = state.keys() ^ total.keys() if total else set()
        wrong |= {name for name in total.keys() & state.keys() if total[name].shape != state[name].shape}
        if wrong:
            raise CheckpointError(
                f'{checkpoint} is of another architecture than {checkpoints[0]}: {min(wrong)} differs'
            )
        for name, value in state.items():
            if value.is_floating_point():
                part = value.double() * (weight / sum(weights))
                total[name] = total[name] + part if name in total else part
            else:
                total.setdefault(name, value)
    types = checkpoints[0].weights
    return {name: value.to(types[name].dtype) for name, value in total.items()}


def estimate_statistics(module: Segmentor, checkpoint: Checkpoint, root: str | None, most: int) -> int:
    """Estimate the statistics of BatchNorm on the training data of a checkpoint; return the number of batches."""
    read = checkpoint.stored(('data',))
    read.check(Settings({'data': {'root': root}}), [('data', 'val'), ('data', 'test')])
    stored = read.settings.values['data']
    data = SegmentationDataModule(**{**stored, **({'root': root} if root else {})})
    data.prepare_data()
    data.setup('fit')
    loader = data.train_dataloader()
    module.to('cuda' if torch.cuda.is_available() else 'cpu')
    update_bn(((batch,) for batch in islice(loader, most)), _Losses(module))
    module.cpu()
    return min(most, len(loader))


class _Losses(nn.Module):
    """Sends a batch through all of a segmentor's parts, those of the auxiliary heads too."""

    def __init__(self, module: Segmentor) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> None:
        """Compute the losses of a batch and forget them."""
        self.module.losses(self.module.transfer_batch_to_device(batch, self.module.device, 0))
