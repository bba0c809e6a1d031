"""All patches that let mmcv-full 1.7 and mmsegmentation 0.30 run on current packages, and seglight on older torch.

Import this module before torchvision, mmcv, mmseg, torchmetrics or pytorch_lightning; no other
module patches them. Each patch names the version it is for and the symptom without it,
and has a test that fails without it.
"""

from __future__ import annotations

import importlib
import io
import logging
import multiprocessing.context
import multiprocessing.process
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, NoReturn

from seglight.errors import UsageError
from seglight.installation import requirements


def import_torchvision() -> None:
    """Import torchvision, even if its compiled operators do not match the installed torch.

    For: torchvision 0.28 built for CUDA with a CPU torch 2.13 (PyPI has no other torchvision).
    Symptom: `RuntimeError: operator torchvision::nms does not exist` from any import of mmcv or
    torchmetrics. Registering the schemas of `nms` and `qnms` lets torchvision's Python parts load,
    which is all that mmcv and torchmetrics need. A torchvision that can be imported is left unchanged.
    """
    try:
        importlib.import_module('torchvision')
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise
    else:
        return

    import torch

    for name in [name for name in sys.modules if name.split('.')[0] == 'torchvision']:
        del sys.modules[name]
    global _TORCHVISION_SCHEMAS  # a Library unregisters its schemas when it is garbage-collected
    _TORCHVISION_SCHEMAS = torch.library.Library('torchvision', 'DEF')
    for name in ('nms', 'qnms'):
        _TORCHVISION_SCHEMAS.define(f'{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
    importlib.import_module('torchvision')


_TORCHVISION_SCHEMAS = None


def silence_notices() -> None:
    """Silence notices of mmcv and mmseg that users of seglight cannot act on.

    For: mmcv-full 1.7 and mmsegmentation 0.30. Symptom: five lines about MMCV 2.0 at import; one about
    `avg_non_ignore` for each cross-entropy loss; one or two about the number of channels and the threshold of
    each head with two classes or one channel, even if the config sets them; and from Python 3.12 on one for
    each invalid escape in their sources, when these are first compiled. mmcv also imports
    `torch.utils.cpp_extension`, which warns on a machine that has nvcc but no GPU; torch 2.6 prints
    it, later releases log it.
    """
    if not requirements.is_within(requirements.torch_version() or '', '2.11', '99'):
        with redirect_stderr(io.StringIO()):
            importlib.import_module('torch.utils.cpp_extension')
    logging.getLogger('torch.utils.cpp_extension').setLevel(logging.ERROR)
    warnings.filterwarnings('ignore', category=SyntaxWarning, module=r'.*[/\\](mmcv|mmseg|mmcls)[/\\]')
    warnings.filterwarnings('ignore', message='For binary segmentation, we suggest using')
    warnings.filterwarnings('ignore', message='threshold is not defined for binary')
    warnings.filterwarnings('ignore', message='On January 1, 2023, MMCV')
    warnings.filterwarnings('ignore', message='Default ``avg_non_ignore`` is False')


def give_scipy_interp2d() -> None:
    """Restore the SciPy function with which mmseg resizes relative position tables.

    For: SciPy 1.14 and later, which removed `interpolate.interp2d`. Symptom: `NotImplementedError` when
    BEiT or MAE load weights of another image size. The replacement is the one that SciPy's guide to
    this removal recommends for values on a grid; both call FITPACK's `regrid`, so the results are the same.
    """
    from scipy import interpolate

    try:
        grid = range(4)
        interpolate.interp2d(grid, grid, [grid] * 4, kind='cubic')
    except (AttributeError, NotImplementedError):
        interpolate.interp2d = _interp2d


def _interp2d(x: Any, y: Any, z: Any, kind: str = 'linear') -> Callable[[Any, Any], Any]:
    """Return a spline through the values `z` `[len(y), len(x)]` of a grid, to be called with new x and y."""
    import numpy as np
    from scipy.interpolate import RectBivariateSpline

    degree = {'linear': 1, 'cubic': 3, 'quintic': 5}[kind]
    spline = RectBivariateSpline(x, y, np.asarray(z).T, kx=degree, ky=degree)
    return lambda new_x, new_y: spline(new_x, new_y).T


def stand_in_for_compiled_ops() -> None:
    """Run mmcv's operators in PyTorch if mmcv was installed without the compiled ones.

    For: mmcv 1.7 as a pure Python wheel. Symptom: `No module named 'mmcv._ext'` from any import of
    mmseg's models. Compiled operators, if installed, are found first and used.
    """
    sys.meta_path.append(_OpsInTorch())


class _OpsInTorch(MetaPathFinder, Loader):
    """Provide `mmcv._ext` if no other finder does, when mmcv first imports an operator."""

    #: The functions that `seglight.ops` provides: module in mmcv.ops, name, and autograd Function.
    functions = (
        ('psa_mask', 'psa_mask', 'PSAMaskFunction'),
        ('focal_loss', 'sigmoid_focal_loss', 'SigmoidFocalLossFunction'),
        ('focal_loss', 'softmax_focal_loss', 'SoftmaxFocalLossFunction'),
        ('modulated_deform_conv', 'modulated_deform_conv2d', 'ModulatedDeformConv2dFunction'),
        ('deform_conv', 'deform_conv2d', 'DeformConv2dFunction'),
    )

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find only `mmcv._ext`."""
        del path, target
        return ModuleSpec(fullname, self) if fullname == 'mmcv._ext' else None

    def exec_module(self, module: ModuleType) -> None:
        """Replace the functions in the modules that call them; all other operators raise when called."""
        vars(module).update(
            __getattr__=_missing_op, get_compiler_version=_not_compiled, get_compiling_cuda_version=_not_compiled
        )
        ops = importlib.import_module('seglight.ops')
        for name, function, autograd in self.functions:
            # mmcv.ops may be only half imported here; these modules must be patched before others copy from them.
            home = importlib.import_module(f'mmcv.ops.{name}')
            old, new = getattr(home, function), getattr(ops, function)
            getattr(home, autograd).apply = staticmethod(new)
            for other in [other for key, other in sys.modules.items() if key.startswith('mmcv.ops')]:
                if vars(other).get(function) is old:
                    setattr(other, function, new)


def _not_compiled() -> str:
    return 'n/a'  # as in mmcv's description of the environment without operators


def _missing_op(name: str) -> Callable[..., NoReturn]:
    """Return a function that raises, for an operator not in `seglight.ops`; mmcv gets all of them at import."""
    if name.startswith('_'):
        raise AttributeError(name)

    def missing(*_: object, **__: object) -> NoReturn:
        raise UsageError(
            f"the model needs mmcv's operator {name}, which is not compiled: build mmcv-full 1.7.2 with its "
            'operators for the installed torch (https://mmcv.readthedocs.io/en/v1.7.0/get_started/build.html)'
        )

    return missing


def keep_functions_out_of_torch_ops() -> None:
    """Prevent mmcv from setting a function in `torch.ops`, where torch expects namespaces of operators.

    For: mmcv-full 1.7 and torch 2.6. Symptom: `'function' object is not iterable` from torch.compile. When
    `mmcv.device.npu.data_parallel` is imported, it sets `_check_balance` in every module that has one, and
    `torch.ops` appears to have any attribute. The module is only for mmcv's DataParallel on Ascend, which is not used.
    """
    module = ModuleType('mmcv.device.npu.data_parallel')
    vars(module)['NPUDataParallel'] = None
    sys.modules.setdefault(module.__name__, module)


def keep_functions_out_of_swa_states() -> None:
    """Exclude the annealing function from the state of `SWALR`, the schedule of stochastic weight averaging.

    For: torch 2.6, whose state contains a method of the class; later releases exclude it. Symptom: `loading its
    builtins.getattr would execute code` when a run with Lightning's StochasticWeightAveraging resumes.
    """
    from torch.optim.swa_utils import SWALR

    if 'state_dict' not in vars(SWALR):
        SWALR.state_dict = _swa_state  # type: ignore[method-assign, assignment]


def _swa_state(schedule: Any) -> dict[str, Any]:
    """Return what `SWALR.state_dict` returns in later releases of torch."""
    return {name: value for name, value in vars(schedule).items() if name not in ('optimizer', 'anneal_func')}


def give_mmseg_heads(accuracy: Callable[..., Any]) -> None:
    """Make mmseg's heads compute the accuracy that they log with another function of the same name.

    For: mmsegmentation 0.30, whose function selects the labelled pixels. Symptom: with each head, the host waits twice
    in every step for the device. `seglight.models.accuracy` calls this, so that only models import mmseg.
    """
    for name in ('decode_head', 'point_head'):
        vars(importlib.import_module(f'mmseg.models.decode_heads.{name}'))['accuracy'] = accuracy


def reach_spawned_processes() -> None:
    """Make every process that multiprocessing spawns import this module before anything else.

    For: Python 3.10 to 3.14, where a spawned process (the default on macOS and Windows) first loads its
    target and arguments. Symptom with `ddp_spawn`: `operator torchvision::nms does not exist` from the
    import of pytorch_lightning in the child. `_process` is in this module, so unpickling it imports the module.
    """
    for name in ('Process', 'SpawnProcess', 'ForkServerProcess'):
        if kind := getattr(multiprocessing.context, name, None):
            ForkingPickler.register(kind, lambda process: (_process, (type(process),), vars(process)))


def _process(kind: type[multiprocessing.process.BaseProcess]) -> multiprocessing.process.BaseProcess:
    """Return an empty process; pickle restores its state afterwards."""
    return kind.__new__(kind)


requirements.require()
silence_notices()
import_torchvision()
give_scipy_interp2d()
stand_in_for_compiled_ops()
keep_functions_out_of_torch_ops()
keep_functions_out_of_swa_states()
reach_spawned_processes()
