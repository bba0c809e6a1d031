"""Each patch of `seglight.compat`: what happens without it, and with it."""

import ast
import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from seglight import compat  # (first)

# isort: split
from mmseg.models import build_backbone
from torch.optim.swa_utils import SWALR

#: What a torchvision that was built for another torch does on import.
MISMATCHED_TORCHVISION = """
import torch
@torch.library.register_fake('torchvision::nms')
def nms(dets, scores, iou_threshold): ...
@torch.library.register_fake('torchvision::qnms')
def qnms(dets, scores, iou_threshold): ...
"""


def python(code: str, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with every warning shown."""
    start = f'import sys; sys.path.insert(0, {str(first_on_path)!r});' if first_on_path else ''
    return subprocess.run([sys.executable, '-W', 'always', '-c', start + code], capture_output=True, text=True)


@pytest.fixture
def torchvision(tmp_path: Path) -> Path:
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text(MISMATCHED_TORCHVISION)
    return tmp_path


@pytest.mark.parametrize('method', ['spawn', 'forkserver'])
def test_spawned_processes_are_patched_before_they_load_anything_else(method: str, tmp_path: Path) -> None:
    (tmp_path / 'target.py').write_text(
        'import sys\nloaded = "seglight.compat" in sys.modules\ndef run(): print(loaded)\n'
    )
    code = (
        'import multiprocessing as mp, {first}target; p = mp.get_context({method!r}).Process(target=target.run);'
        'p.start(); p.join(); assert not p.exitcode'
    )
    for first, right in (('', 'False'), ('seglight.compat, ', 'True')):
        done = python(code.format(first=first, method=method), tmp_path)
        assert done.stdout == f'{right}\n', done.stderr


def test_a_torchvision_for_another_torch_imports_only_with_the_patch(torchvision: Path) -> None:
    without = python('import torchvision', torchvision)
    assert 'operator torchvision::nms does not exist' in without.stderr
    done = python(
        'import seglight.compat, torchvision, gc; gc.collect(); import torch; torch.ops.torchvision.nms', torchvision
    )
    assert done.returncode == 0, done.stderr


def test_the_installed_torchvision_mmcv_and_mmseg_import_with_the_patch() -> None:
    done = python('import seglight.compat, torchvision, mmcv._ext, mmseg.models, torchmetrics, pytorch_lightning')
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize('package', ['pytorch_lightning', 'torchmetrics'])
def test_a_program_that_imports_seglight_first_is_patched(package: str) -> None:
    code = 'import sys, seglight; assert "torch" not in sys.modules; import {0}; assert sys.modules["{0}"] is {0}'
    done = python(f'{code.format(package)}; assert "seglight.compat" in sys.modules')
    assert done.returncode == 0, done.stderr


def test_a_torchvision_that_fails_for_another_reason_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text('raise RuntimeError("another reason")')
    assert 'another reason' in python('import seglight.compat', tmp_path).stderr


def test_a_torchvision_that_imports_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text('')
    done = python('import seglight.compat as c; assert c._TORCHVISION_SCHEMAS is None', tmp_path)
    assert done.returncode == 0, done.stderr


def test_notices_of_mmcv_and_mmseg_are_silent() -> None:
    code = 'import mmcv; from mmseg.models.losses import CrossEntropyLoss; CrossEntropyLoss()'
    # Without the filters, but with a torchvision that imports.
    without = python(f'import seglight.compat, warnings; warnings.resetwarnings(); {code}')
    done = python(f'import seglight.compat; {code}')
    for notice in ('On January 1, 2023', 'avg_non_ignore'):
        assert notice in without.stderr
        assert notice not in done.stderr
    assert done.returncode == 0


@pytest.fixture
def pure_mmcv(tmp_path: Path) -> Path:
    """A folder with the installed mmcv less its compiled operators."""
    spec = importlib.util.find_spec('mmcv')
    assert spec and spec.origin
    ignored = shutil.ignore_patterns('_ext*', '__pycache__')
    shutil.copytree(Path(spec.origin).parent, tmp_path / 'mmcv', ignore=ignored)
    return tmp_path


def test_mmcvs_operators_import_without_compiled_ones_only_with_the_patch(pure_mmcv: Path) -> None:
    without = python('import seglight.compat; sys.meta_path.pop(); import mmcv.ops', pure_mmcv)
    assert "No module named 'mmcv._ext'" in without.stderr
    done = python(
        'import seglight.compat; import mmseg.models, mmcv.ops.saconv; from seglight import ops;'
        'assert mmcv.ops.psa_mask.psa_mask is mmcv.ops.psa_mask.PSAMaskFunction.apply is ops.psa_mask;'
        'assert mmseg.models.losses.focal_loss._sigmoid_focal_loss is ops.sigmoid_focal_loss;'
        'assert mmcv.ops.softmax_focal_loss is ops.softmax_focal_loss;'
        'assert mmcv.ops.saconv.deform_conv2d is mmcv.ops.deform_conv2d is ops.deform_conv2d;'
        'assert mmcv.ops.modulated_deform_conv2d is ops.modulated_deform_conv2d;'
        'print(mmcv.ops.get_compiler_version())',
        pure_mmcv,
    )
    assert (done.stdout, done.returncode) == ('n/a\n', 0), done.stderr


def test_the_operators_in_torch_are_in_place_whichever_module_comes_first(pure_mmcv: Path) -> None:
    done = python(
        'import seglight.compat, mmcv._ext, mmcv.ops, seglight.ops as o; assert mmcv.ops.deform_conv2d is o.deform_conv2d',
        pure_mmcv,
    )
    assert done.returncode == 0, done.stderr


def test_an_operator_that_is_not_in_torch_names_itself_when_it_is_called(pure_mmcv: Path) -> None:
    done = python(
        'import seglight.compat, torch; from mmcv.ops import CARAFE;'
        'CARAFE(3, 1, 2)(torch.rand(1, 4, 4, 4), torch.rand(1, 9, 8, 8))',
        pure_mmcv,
    )
    line = [line for line in done.stderr.splitlines() if 'Error: ' in line][-1]  # some releases of torch warn behind it
    assert "UsageError: the model needs mmcv's operator carafe_forward, which is not compiled: build " in line


def test_compiled_operators_of_mmcv_are_used_as_they_are(pure_mmcv: Path) -> None:
    (pure_mmcv / 'mmcv' / '_ext.py').write_text('def __getattr__(name): return name')
    done = python(
        'import seglight.compat, mmcv.ops, mmcv._ext; assert mmcv._ext.__file__;'
        'assert mmcv.ops.deform_conv2d.__self__ is mmcv.ops.deform_conv.DeformConv2dFunction',
        pure_mmcv,
    )
    assert done.returncode == 0, done.stderr


DCN = """
import seglight.compat, torch
from mmseg.models import build_backbone
from torch.optim.swa_utils import SWALR
torch.manual_seed(0)
for kind in ('DCN', 'DCNv2'):
    dcn = {'type': kind, 'deform_groups': 1, 'fallback_on_stride': False}
    net = build_backbone({'type': 'ResNet', 'depth': 50, 'base_channels': 4, 'stem_channels': 4, 'dcn': dcn,
                          'stage_with_dcn': (False, False, True, True)})
    sum(output.square().mean() for output in net(torch.rand(2, 3, 32, 32))).backward()
    moved = [p.grad.abs().sum() > 0 for n, p in net.named_parameters() if 'layer3.0.conv2' in n]
    assert len(moved) >= 3 and all(moved), kind
"""


def test_backbones_with_deformable_convolutions_train_without_compiled_operators(pure_mmcv: Path) -> None:
    done = python(DCN, pure_mmcv)
    assert done.returncode == 0, done.stderr


def test_scipys_interp2d_is_there_only_with_the_patch() -> None:
    code = 'from scipy.interpolate import interp2d; interp2d(*[range(4)] * 2, [range(4)] * 4, kind="cubic")'
    assert 'interp2d` has been removed' in python(code).stderr
    done = python(f'import seglight.compat; {code}')
    assert done.returncode == 0, done.stderr


def test_interp2d_passes_through_its_points_and_keeps_the_axes_apart() -> None:
    from scipy.interpolate import interp2d

    x, y = np.array([-2.0, 0, 1, 3, 4]), np.array([0.0, 1, 2, 5, 6, 9])
    z = np.random.default_rng(0).normal(size=(6, 5))
    spline = interp2d(x, y, z, kind='cubic')
    np.testing.assert_allclose(spline(x, y), z, atol=1e-12)
    new_x, new_y = np.array([-1.0, 2.5]), np.array([0.5, 3, 7])
    np.testing.assert_allclose(spline(new_x, new_y), cubic(cubic(z, y, new_y).T, x, new_x).T, atol=1e-12)


@pytest.mark.parametrize('kind', ['BEiT', 'MAE'])
def test_beit_and_mae_load_weights_of_another_image_size(kind: str, tmp_path: Path) -> None:
    """The old points lie at geometric distances, the outermost at the edge of the new table, as in mmseg."""
    config = {'type': kind, 'embed_dims': 8, 'num_layers': 1, 'num_heads': 2, 'mlp_ratio': 2}
    source = build_backbone({**config, 'img_size': 96}).state_dict()  # a table of 11x11
    table = torch.randn(11 * 11 + 3, 2, generator=torch.Generator().manual_seed(0))
    source['layers.0.attn.relative_position_bias_table'] = table
    torch.save(source, tmp_path / 'small.pth')
    init = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'small.pth')}
    larger = build_backbone({**config, 'img_size': 128, 'init_cfg': init})  # a table of 15x15
    larger.init_weights()
    result = larger.state_dict()['layers.0.attn.relative_position_bias_table']
    ratio = brentq(lambda q: sum(q**n for n in range(5)) - 7, 1.01, 1.5)
    right = np.cumsum(ratio ** np.arange(5))
    at, wanted = np.concatenate([-right[::-1], [0], right]), np.arange(-7, 8)
    for head in range(2):
        values = table[:121, head].view(11, 11).numpy()
        expected = cubic(cubic(values, at, wanted).T, at, wanted).T
        np.testing.assert_allclose(result[:225, head].view(15, 15).numpy(), expected, atol=1e-4)
    assert torch.equal(result[225:], table[121:])


def cubic(values: np.ndarray, at: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate along the first axis with a cubic spline; a product of these is the spline of a grid."""
    return np.asarray(CubicSpline(at, values, axis=0)(wanted))


def test_exactly_one_opencv_is_installed() -> None:
    assert len(set(importlib.metadata.packages_distributions()['cv2'])) == 1


def test_nothing_else_patches(pytestconfig: pytest.Config) -> None:
    """Only `compat` and the package itself register operators and importers, and what needs `compat` imports it first."""
    package = pytestconfig.rootpath / 'seglight'
    for path in package.rglob('*.py'):
        if path not in (package / 'compat.py', package / '__init__.py'):
            assert not {'torch.library', 'meta_path'} & set(
                re.findall(r'torch\.library|meta_path', path.read_text())
            ), path
    for name in ('models', 'callbacks'):
        imports = [line for line in (package / name / '__init__.py').read_text().splitlines() if 'import' in line]
        assert imports[0].startswith('from seglight import compat'), name


#: Packages whose import needs the patches.
PATCHED = {'torchvision', 'pytorch_lightning', 'torchmetrics', 'mmcv', 'mmseg', 'mmcls'}


def imported(node: ast.stmt) -> str:
    """The package that a statement at the top of a module imports from, or the package or module of this one."""
    if isinstance(node, ast.ImportFrom):
        name = f'seglight.{node.names[0].name}' if node.module == 'seglight' else node.module or ''
        return '.'.join(name.split('.')[:2]) if name.startswith('seglight.') else name.split('.')[0]
    return node.names[0].name.split('.')[0] if isinstance(node, ast.Import) else ''


def test_each_module_that_needs_the_patches_brings_them(pytestconfig: pytest.Config) -> None:
    """In itself, or by importing a package that does: whichever module of the project is imported first."""
    bringing = {'seglight.compat', 'seglight.callbacks', 'seglight.models'}
    package = pytestconfig.rootpath / 'seglight'
    for path in package.rglob('*.py'):
        around = [folder / '__init__.py' for folder in path.parents if package in (folder, *folder.parents)]
        brought = any('from seglight import compat' in file.read_text() for file in around if file.is_file())
        names = [imported(node) for node in ast.parse(path.read_text()).body]
        needing = [index for index, name in enumerate(names) if name in PATCHED]
        if needing and not brought and path.parent.name != 'cli':  # which `cli.command_line` alone imports
            assert bringing & set(names[: needing[0]]), f'{path} imports {names[needing[0]]} before compat'


def test_mmsegs_heads_compute_the_accuracy_without_waiting_only_with_the_patch() -> None:
    """The one of mmseg selects the labelled pixels, whose number the host needs (`tests/models/test_accuracy.py`)."""
    code = 'import seglight.compat; {first}from mmseg.models.decode_heads import decode_head; print(decode_head.accuracy.__module__)'
    assert python(code.format(first='')).stdout == 'mmseg.models.losses.accuracy\n'
    assert python(code.format(first='import seglight.models; ')).stdout == 'seglight.models.accuracy\n'


def test_torch_ops_holds_nothing_but_namespaces() -> None:
    """`torch.compile` of torch 2.6 goes through all of them."""
    code = 'import mmcv.device, torch; print([name for name in torch.ops if callable(getattr(torch.ops, name))])'
    assert python(f'from seglight import compat; {code}').stdout == '[]\n'
    undone = 'from seglight import compat; import sys; del sys.modules["mmcv.device.npu.data_parallel"]'
    assert python(f'{undone}; {code}').stdout == "['_check_balance']\n"


def test_the_state_of_weight_averaging_has_no_function_and_comes_back() -> None:
    def schedule(lr: float) -> SWALR:
        return SWALR(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr), 0.1, 5)

    state = schedule(0.5).state_dict()
    again = schedule(0.3)
    again.load_state_dict(state)
    assert again.last_epoch == state['last_epoch']
    assert callable(again.anneal_func)
    assert not any(callable(value) for value in [*state.values(), *compat._swa_state(again).values()])


def test_nothing_is_said_of_nvcc_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from torch.utils import cpp_extension

    monkeypatch.setenv('CUDA_HOME', '/usr/local')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert cpp_extension._find_cuda_home() == '/usr/local'
    assert caplog.records == []
