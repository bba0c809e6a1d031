"""Find what waits for the device: in any code, or by a callback in the steps of a run.

    PYTHONPATH=scripts seglight fit ... --trainer.callbacks+=waits.StepWaits --trainer.callbacks.file=waits.json

`count_waits.py` prints a table for several models.

On a GPU, an operation waits if Python or the next operation needs a value or a shape that only the device knows, and
if memory is copied that is not pinned. On a CPU nothing waits; there a tensor counts as the device's if it is a
parameter, a buffer, a part of the batch, or computed from one of these, so that what would wait is found without a GPU.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seglight.trainer_callbacks import callbacks_of

#: Operations whose result Python reads, or whose shape depends on values.
WAITING = frozenset(
    {
        *('_local_scalar_dense', 'nonzero', 'is_nonzero', 'masked_select', 'equal', 'bincount', 'repeat_interleave'),
        *('_unique', '_unique2', 'unique_dim', 'unique_consecutive', 'unique_dim_consecutive'),
    }
)

#: Methods that copy a tensor to the host; those of a tensor on the CPU do not show as an operation.
TO_HOST = {Tensor.cpu: 'cpu', Tensor.numpy: 'numpy', Tensor.tolist: 'tolist', Tensor.__array__: '__array__'}

TORCH = str(Path(torch.__file__).parent)
MASKS = (torch.bool, torch.uint8)


class Wait(NamedTuple):
    """An operation that waits, and the calls that lead to it, the innermost last."""

    operation: str
    stack: list[str]

    @property
    def caller(self) -> str:
        """The innermost call."""
        return self.stack[-1]


class Counts(NamedTuple):
    """The number of steps that log nothing, the waits of steps in which Lightning logs, and of those others."""

    steps: int
    logging: list[Wait]
    other: list[Wait]


class Waits:
    """Counts what waits for the device, while it is a context.

    Attributes:
        found: what was found so far.
    """

    def __init__(self) -> None:
        self.found: list[Wait] = []
        self._device: dict[int, StorageWeakRef] = {}
        self._modes = (_Operations(self), _Calls(self))
        self.quiet = False  #: whether an operation is running that waits only on a CPU

    def __enter__(self) -> Waits:
        for mode in self._modes:
            mode.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)  # type: ignore[no-untyped-call]

    def mark(self, tensors: Any) -> None:
        """Count the tensors in a nested structure as the device's."""
        for tensor in filter(_is_dense, tree_leaves(tensors)):
            storage = tensor.untyped_storage()
            self._device[storage._cdata] = StorageWeakRef(storage)  # while it lives, no other storage has this address

    def is_on_device(self, tensor: Any) -> bool:
        """Return whether a value is a tensor of the device."""
        if not _is_dense(tensor):
            return False
        return tensor.device.type != 'cpu' or tensor.untyped_storage()._cdata in self._device

    def note(self, operation: str) -> None:
        """Add an operation of the current call."""
        if not self.quiet:
            calls = traceback.extract_stack()
            names = [_name(call) for call in calls if not call.filename.startswith((TORCH, __file__))]
            self.found.append(Wait(operation, names))


class _Operations(TorchDispatchMode):
    """Sees every operation, also those of a backward pass and of the optimizer."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        values = tree_leaves((args, kwargs))
        if any(map(self.waits.is_on_device, values)):
            if name in WAITING or _selects(name, args) or _crosses(name, args, kwargs):
                self.waits.note(name)
            result = func(*args, **kwargs)
            written = [each for each, of in zip(args, func._schema.arguments, strict=False) if _is_written(of)]
            self.waits.mark((result, written))
            return result
        return func(*args, **kwargs)


class _Calls(TorchFunctionMode):
    """Sees the calls that copy between host and device, which are no operations on a CPU."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        on_device = bool(args) and self.waits.is_on_device(args[0])
        if on_device and args[0].device.type == 'cpu' and (func in TO_HOST or _is_to_host(func, args, kwargs)):
            self.waits.note(TO_HOST.get(func, 'to'))
        if (func is Tensor.new_tensor and on_device) or (func is torch.tensor and kwargs.get('device') is not None):
            self.waits.note(func.__name__)  # copies memory that is not pinned
        self.waits.quiet = func is F.one_hot  # on a CPU only, it checks the labels
        try:
            return func(*args, **kwargs)
        finally:
            self.waits.quiet = False


def _is_dense(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided


def _is_written(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _selects(name: str, args: Sequence[Any]) -> bool:
    """Return whether an operation selects by a mask; a single number is written without finding the places."""
    if name not in ('index', 'index_put', 'index_put_', '_index_put_impl_', '_unsafe_index'):
        return False
    is_number = len(args) > 2 and args[2].numel() == 1
    return not is_number and any(each is not None and each.dtype in MASKS for each in args[1])


def _crosses(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Return whether an operation copies between two devices and waits."""
    if name == 'copy_':
        return args[0].device != args[1].device and not (args[2:3] or kwargs.get('non_blocking'))
    target = kwargs.get('device')
    return name == '_to_copy' and target not in (None, args[0].device) and not kwargs.get('non_blocking')


def _is_to_host(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Return whether a call is `tensor.to('cpu')`; a `torch.device` is taken for that of the module."""
    targets = [each for each in (*args[1:2], kwargs.get('device')) if isinstance(each, str)]
    return func is Tensor.to and 'cpu' in targets


def _name(call: traceback.FrameSummary) -> str:
    """Return file, line and function of a call; the file below the folder of its library."""
    for folder in sorted(sys.path, key=len, reverse=True):
        if folder and call.filename.startswith(folder):
            return f'{call.filename[len(folder) + 1 :]}:{call.lineno} {call.name}'
    return f'{call.filename}:{call.lineno} {call.name}'


class StepWaits(Callback):
    """Counts the waits of each training step, from the start of a batch to the start of the next.

    Args:
        file: the JSON file to write, with the fields of `Counts`.
        steps: number of steps to count that log nothing.
        warmup: steps before.
    """

    def __init__(self, file: str | None = None, steps: int = 20, warmup: int = 3) -> None:
        self.file, self.steps, self.warmup = file, steps, warmup
        self.waits = Waits()
        self.logging: list[Wait] = []
        self.other: list[Wait] = []
        self._seen = self._counted = 0
        self._is_logging = self._is_open = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """End the count of the step before, and begin the next."""
        self._seen += 1
        if self._seen <= self.warmup:
            return
        if self._is_open:
            self._end_step()
        elif not self._counted:
            self._is_open = True
            averages = [vars(callback).get('_average_model') for callback in callbacks_of(trainer)]
            for module in filter(None, [pl_module, *averages]):
                self.waits.mark([*module.parameters(), *module.buffers()])
            self.waits.__enter__()
        if self._counted == self.steps:
            self._close()
        self.waits.mark(batch)
        self._is_logging = trainer._logger_connector.should_update_logs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the count."""
        self._close()

    def _end_step(self) -> None:
        (self.logging if self._is_logging else self.other).extend(self.waits.found)
        self._counted += not self._is_logging
        self.waits.found = []

    def _close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        self.waits.__exit__(None, None, None)
        if self.file:
            Path(self.file).write_text(json.dumps(Counts(self._counted, self.logging, self.other)._asdict()))


def read(file: str | Path) -> Counts:
    """Return what `StepWaits` wrote."""
    values = json.loads(Path(file).read_text())
    return Counts(values['steps'], *([Wait(*each) for each in values[kind]] for kind in ('logging', 'other')))
