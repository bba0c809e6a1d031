"""Sharded weights, gradients and optimizer states: torch's FSDP2 as the strategy `fsdp2` of Lightning's trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import StochasticWeightAveraging, WeightAveraging
from pytorch_lightning.strategies import ModelParallelStrategy, StrategyRegistry
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from seglight.errors import ConfigError
from seglight.models.memory_format import set_memory_format

NAME = 'fsdp2'

#: The methods in which Lightning runs the model; a sharded module gathers its weights in them.
STEPS = ('training_step', 'validation_step', 'test_step', 'predict_step')

#: Other precisions scale the loss, which Lightning's scaler does not do for sharded gradients.
PRECISIONS = ('32-true', 'bf16-mixed', 'bf16-true')


def shard(module: LightningModule, segmentor: nn.Module, mesh: DeviceMesh) -> None:
    """Distribute the parameters of a module over the processes of a mesh of one dimension.

    Each block of the backbone gathers its weights when it runs; all other weights are gathered for the whole step.

    Args:
        module: the whole module.
        segmentor: its segmentor.
        mesh: of all processes.
    """
    for block in blocks(getattr(segmentor, 'backbone', segmentor)):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    for step in STEPS:
        register_fsdp_forward_method(module, step)


def blocks(backbone: nn.Module) -> list[nn.Module]:
    """Return the repeated blocks of a backbone, inner ones first: layers of a transformer, bottlenecks of a ResNet."""
    found = []
    for part in backbone.modules():
        if isinstance(part, (nn.ModuleList, nn.Sequential)):
            kinds = [type(child) for child in part]
            found += [child for child in part if kinds.count(type(child)) > 1 and _is_block(child)]
    return found[::-1]


def _is_block(module: nn.Module) -> bool:
    """Return whether a module has parameters in parts of its own, and is called itself, which a list is not."""
    is_list = isinstance(module, (nn.ModuleList, nn.Sequential))
    return not is_list and any(True for part in module.children() for _ in part.parameters())


class ShardedStrategy(ModelParallelStrategy):
    """Shards the weights of a `Segmentor` over all processes.

    Checkpoints are as those of any other strategy: rank 0 gathers the weights and the optimizer's state, one tensor
    after another, and writes one file. Unlike in Lightning's own strategies with shards, a checkpoint is therefore read
    as everywhere else, and a run can go on with another strategy or number of processes.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False, **kwargs)

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """Whether states are restored after `setup`: they are restored as with other strategies."""
        return False

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Whether Lightning restores the optimizers, as with other strategies."""
        return True

    def setup_environment(self) -> None:
        """Refuse what cannot be sharded, and shard over all processes of all machines."""
        assert self.lightning_module is not None
        check(self.lightning_module.trainer)
        module: Any = self.lightning_module
        module.channels_last = set_memory_format(module.segmentor, False)  # channels-last weights cannot be sharded
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def _keep_gathered(self) -> None:
        """Gather the weights in the first forward pass alone: processes may have different numbers of them."""
        for block in self._blocks():
            block.set_reshard_after_forward(False, recurse=False)

    def _shard_again(self) -> None:
        """Give back the gathered weights."""
        for block in self._blocks():
            block.set_reshard_after_forward(True, recurse=False)
            block.reshard()

    on_test_start = on_predict_start = _keep_gathered
    on_validation_end = on_test_end = on_predict_end = _shard_again

    def on_validation_start(self) -> None:
        """Let all processes validate with the running statistics of rank 0, as data-parallel training does."""
        assert self.lightning_module is not None
        for buffer in self.lightning_module.buffers():
            distributed.broadcast(buffer, 0)
        self._keep_gathered()

    def _blocks(self) -> Sequence[FSDPModule]:
        """Return the modules that are sharded on their own: all but the whole, which stays gathered for a step."""
        assert self.lightning_module is not None
        return [each for each in self.lightning_module.modules() if isinstance(each, FSDPModule)][1:]

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole weights on rank 0, nothing elsewhere."""
        assert self.lightning_module is not None
        return self._gathered(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the whole state of an optimizer on rank 0, nothing elsewhere."""
        state = optimizer.state_dict()
        values = {key: self._gathered(value) for key, value in state['state'].items()}
        return {**state, 'state': values} if self.is_global_zero else {}

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Return the entries of a file; all processes read it."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this process's part of the weights."""
        assert self.lightning_module is not None
        own = dict(self.lightning_module.named_parameters())
        state = {name: sharded(value, own.get(name)) for name, value in checkpoint['state_dict'].items()}
        self.lightning_module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load the states of the optimizers, and keep this process's part of them."""
        for optimizer, state in zip(self.optimizers, checkpoint['optimizer_states'], strict=False):
            optimizer.load_state_dict(state)
            for parameter, values in optimizer.state.items():
                values.update({name: sharded(value, parameter) for name, value in values.items()})

    def _gathered(self, state: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in state.items():
            whole = value.full_tensor() if isinstance(value, DTensor) else value  # all processes take part
            if self.is_global_zero:
                found[name] = whole.cpu() if isinstance(whole, Tensor) else whole
        return found


def sharded(value: Any, like: Tensor | None) -> Any:
    """Return a whole tensor as this process's part of it, if a parameter of its shape is sharded."""
    if not (isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape):
        return value
    if isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def check(trainer: Trainer) -> None:
    """Refuse settings that do not work with sharded weights.

    Raises:
        ConfigError: names the setting.
    """
    if trainer.precision not in PRECISIONS:
        raise ConfigError(
            'trainer.precision', f'must be one of {", ".join(PRECISIONS)} with {NAME}, got {trainer.precision!r}'
        )
    module: Any = trainer.lightning_module
    if module.hparams.get('channels_last'):
        raise ConfigError('model.channels_last', f'must be false with {NAME}, which shards contiguous weights only')
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, (WeightAveraging, StochasticWeightAveraging)):
            name = type(callback).__name__
            raise ConfigError('trainer.callbacks', f'{name} copies the model, which {NAME} shards; use strategy: ddp')


if NAME not in StrategyRegistry:
    StrategyRegistry.register(NAME, ShardedStrategy, 'Shards weights, gradients and optimizer states (FSDP2)')
