"""Average the weights of checkpoints of one architecture (a model soup, arXiv:2203.05482).

BatchNorm's running statistics do not match averaged weights, so those that training changes are re-estimated on the
training data in the first checkpoint's config, like torch's `update_bn`, which would also reset those kept fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from seglight.checkpoints.checkpoint import CONFIG_ENTRY, Checkpoint
from seglight.checkpoints.data import data_of
from seglight.checkpoints.subclass import check_base_predicts
from seglight.errors import CheckpointError, UsageError
from seglight.files import open_atomically
from seglight.models.segmentor import Segmentor
from seglight.models.subclass import ENTRY
from seglight.voting import vote_weights

#: Entries that a soup copies from the first checkpoint; without optimizer states, so training cannot resume from it.
KEPT = ('hyper_parameters', 'config', 'environment', 'epoch', 'global_step', 'pytorch-lightning_version', ENTRY)


def make_soup(
    checkpoints: Sequence[str | Path],
    output: str | Path,
    weights: Sequence[float] | None = None,
    *,
    root: str | Path | None = None,
    batches: int = 200,
    trust_checkpoint: bool = False,
) -> int:
    """Write a checkpoint with averaged weights, and return the number of batches used to estimate BatchNorm.

    Args:
        checkpoints: two or more; paths, or relative to `work_dirs`.
        output: the checkpoint to write; it must not exist.
        weights: a positive number for each checkpoint; equal by default.
        root: folder of the training data, if it has moved.
        batches: maximum of training batches to estimate BatchNorm on.
        trust_checkpoint: let the files name classes of any package, which runs code; only for your own files.

    Raises:
        UsageError: for wrong weights, a wrong number of batches or an output that exists.
    """
    found, output = [Checkpoint.find(str(name), trust_checkpoint, mapped=True) for name in checkpoints], Path(output)
    valid = vote_weights(weights, len(found))
    if len(found) < 2 or valid is None:
        raise UsageError('soup: give two or more checkpoints, and either no --weights or a positive one for each')
    if batches < 1:
        raise UsageError(f'soup: --batches must be at least 1, got {batches}')
    if output.exists():
        raise UsageError(f'soup: {output} exists; choose another --output or remove it')
    for each in found:
        check_base_predicts(each.entries, each.path)
    first = found[0]
    module = first.build(Segmentor, {'frozen': _frozen(first)})
    for each in found[1:]:
        if each.classes and each.classes != module.classes:
            raise CheckpointError(f'soup: {each} must have the same classes as {first}, in the same order')
        for name in ('mean', 'std'):
            if _hyperparameter(each, name) != _hyperparameter(first, name):
                raise CheckpointError(f'soup: {each} must have the same {name} of the images as {first}')
    first.load_into(module, averaged(found, valid))
    module.train()  # but for the layers that training keeps fixed
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.training]
    used_batches = 0
    if norms:
        used_batches = estimate_statistics(module, norms, first, None if root is None else str(root), batches)
    entries = {name: first.entries[name] for name in KEPT if name in first.entries}
    entries['state_dict'] = module.state_dict()
    with open_atomically(output) as file:
        torch.save(entries, file)
    return used_batches


def _hyperparameter(checkpoint: Checkpoint, name: str) -> object:
    return (checkpoint.entries.get('hyper_parameters') or {}).get(name)


def _frozen(checkpoint: Checkpoint) -> list[str]:
    """Return the parts that its run did not train, by its config."""
    model = checkpoint.mapping(CONFIG_ENTRY).get('model')
    names = model.get('frozen') if isinstance(model, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []


def averaged(checkpoints: Sequence[Checkpoint], weights: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of each weight; integers, such as counters, are those of the first.

    Raises:
        CheckpointError: if they have different architectures.
    """
    total: dict[str, Tensor] = {}
    for checkpoint, weight in zip(checkpoints, weights, strict=True):
        state = checkpoint.weights
        wrong = state.keys() ^ total.keys() if total else set()
        wrong |= {name for name in total.keys() & state.keys() if total[name].shape != state[name].shape}
        if wrong:
            raise CheckpointError(
                f'{checkpoint} and {checkpoints[0]} have different architectures: {min(wrong)} differs'
            )
        for name, value in state.items():
            if value.is_floating_point():
                part = value.double() * (weight / sum(weights))
                total[name] = total[name] + part if name in total else part
            else:
                total.setdefault(name, value)
    types = checkpoints[0].weights
    return {name: value.to(types[name].dtype) for name, value in total.items()}


def estimate_statistics(
    module: Segmentor, norms: Sequence[_BatchNorm], checkpoint: Checkpoint, root: str | None, max_batches: int
) -> int:
    """Estimate the statistics of BatchNorm layers on a checkpoint's training data, and return the number of batches.

    Raises:
        CheckpointError: if the checkpoint does not describe its data.
    """
    needed = 'the training data, on which BatchNorm is estimated'
    data = data_of(checkpoint, needed, 'training', root, [('data', 'val'), ('data', 'test')])
    data.prepare_data()
    data.setup('fit')
    loader = data.train_dataloader()
    used = min(max_batches, len(loader))
    module.to('cuda' if torch.cuda.is_available() else 'cpu')
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    with torch.no_grad():
        for batch in islice(loader, used):
            sent = module.transfer_batch_to_device(batch, module.device, 0)
            module.losses(data.on_after_batch_transfer(sent, 0))  # all parts, also auxiliary heads
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.cpu()
    return used
