"""Each patch of `seglight.compat`: what happens without it, and with it."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_torchvision_that_fails_for_another_reason_is_not_hidden(tmp_path: Path) -> None:
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text('raise RuntimeError("another reason")')
    assert 'another reason' in python('import seglight.compat', tmp_path).stderr


def test_a_torchvision_that_imports_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text('')
    done = python('import seglight.compat as c; assert c._TORCHVISION_SCHEMAS is None', tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ('code', 'notice'),
    [
        ('import mmcv', 'On January 1, 2023'),
        ('from mmseg.models.losses import CrossEntropyLoss; CrossEntropyLoss()', 'avg_non_ignore'),
    ],
)
def test_notices_of_mmcv_and_mmseg_are_silent(code: str, notice: str) -> None:
    # Without the filters, but with a torchvision that imports.
    without = python(f'import seglight.compat, warnings; warnings.resetwarnings(); {code}')
    assert notice in without.stderr
    assert notice not in python(f'import seglight.compat; {code}').stderr


def test_exactly_one_opencv_is_installed() -> None:
    assert len(set(importlib.metadata.packages_distributions()['cv2'])) == 1


def test_nothing_else_patches(pytestconfig: pytest.Config) -> None:
    """Only `compat` registers operators; and every package whose imports need it imports it first."""
    package = pytestconfig.rootpath / 'seglight'
    for path in package.rglob('*.py'):
        if path.name != 'compat.py':
            assert 'torch.library' not in path.read_text(), path
    for name in ('models', 'data', 'callbacks'):
        imports = [line for line in (package / name / '__init__.py').read_text().splitlines() if 'import' in line]
        assert imports[0].startswith('from seglight import compat'), name
