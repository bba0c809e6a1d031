"""What `import seglight` offers."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import seglight


def test_the_names_are_those_of_their_modules() -> None:
    from seglight.data.datamodule import SegmentationDataModule
    from seglight.models.segmentor import Segmentor
    from seglight.predictor import Predictor

    assert seglight.SegmentationDataModule is SegmentationDataModule
    assert seglight.Segmentor is Segmentor
    assert seglight.Predictor is Predictor
    assert inspect.signature(seglight.load).return_annotation == 'Predictor'


def test_all_names_are_offered_and_another_is_an_error() -> None:
    functions = {'load', 'read_config'}
    assert set(seglight.__all__) == {'Predictor', 'SegmentationDataModule', 'Segmentor', '__version__', *functions}
    assert set(seglight.__all__) <= set(dir(seglight))
    assert all(hasattr(seglight, name) for name in seglight.__all__)
    with pytest.raises(AttributeError, match=r"module 'seglight' has no attribute 'segmentor'"):
        seglight.segmentor  # noqa: B018
    exec('from seglight import *', {})


@pytest.mark.parametrize('package', ['seglight', 'seglight.data', 'seglight.installation', 'seglight.tools'])
def test_the_import_alone_loads_no_torch(package: str) -> None:
    code = f'import sys, {package}; assert "torch" not in sys.modules'
    assert subprocess.run([sys.executable, '-c', code]).returncode == 0


@pytest.mark.slow
def test_type_checkers_see_the_names_and_their_types(tmp_path: Path) -> None:
    user = tmp_path / 'user.py'
    user.write_text(
        'import seglight\n'
        'from seglight import Predictor, SegmentationDataModule, Segmentor\n'
        'predictor = seglight.load("work_dirs/exp1")\n'
        'reveal_type(predictor)\n'
        'reveal_type(Segmentor.load_from_checkpoint("a.ckpt"))\n'
        'reveal_type(SegmentationDataModule)\n'
        'predictor.no_such_name\n'
        # A text of its own: mypy repeats the messages that it keeps for an equal one, with the path of then.
        f'# {tmp_path}\n'
    )
    root = Path(seglight.__file__).parents[1]
    assert (root / 'seglight/py.typed').is_file()
    command = [
        sys.executable,
        '-m',
        'mypy',
        '--strict',
        '--follow-imports=silent',
        '--cache-dir',
        str(root / '.mypy_cache'),
        str(user),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    lines = done.stdout.splitlines()
    assert any('seglight.predictor.Predictor' in line for line in lines), done.stdout + done.stderr
    assert any('def (' in line and 'SegmentationDataModule' in line for line in lines)
    assert [line for line in lines if ': error:' in line] == [
        f'{user}:7: error: "Predictor" has no attribute "no_such_name"  [attr-defined]'
    ]
