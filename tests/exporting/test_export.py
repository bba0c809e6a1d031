"""Exported files predict what the checkpoint predicts, and only such files are kept."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Result
from pages import ROOT, blocks_of
from PIL import Image

import seglight
from seglight import __main__ as program
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.exporting import export
from seglight.exporting.formats.to_onnx import OnnxModel
from seglight.exporting.wanted import can_trace
from seglight.runtimes.opening import read_metadata

onnx = pytest.importorskip('onnx')
onnxruntime = pytest.importorskip('onnxruntime')
openvino = pytest.importorskip('openvino')

pytestmark = [
    pytest.mark.extras,
    pytest.mark.slow,
    pytest.mark.skipif(not can_trace(), reason='torch before 2.9 cannot trace for images of any size'),
]

Run = Callable[..., Result]

#: ImageNet's, with which the config of the tests normalises.
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@pytest.fixture(scope='module')
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a checkpoint in every format; the model is traced once for all tests of this module."""
    traced: dict[Any, Any] = {}
    original = {name: getattr(export, name) for name in ('program_of', 'to_onnx')}

    def once(name: str, key: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            at = name, *key(*arguments)
            if at not in traced:
                traced[at] = original[name](*arguments)
            return traced[at]

        return call

    place = tmp_path_factory.mktemp('exported')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, 'program_of', once('program_of', lambda graph, size: (graph.output, graph.dtype, size)))
        patch.setattr(export, 'to_onnx', once('to_onnx', lambda program, _: (id(program),)))
        for name in ('m.onnx', 'm.pt2', 'm.xml', 'm.safetensors'):
            assert program.run(['export', str(trained / 'epoch_2.ckpt'), str(place / name)]) == 0
        yield place


def mmsegs_logits(checkpoint: Path, image: np.ndarray) -> np.ndarray:
    """Return what mmseg's own segmentor predicts for uint8 images `[B, 3, H, W]`, normalised by numpy."""
    segmentor = Checkpoint(checkpoint).module().segmentor
    normal = (image - MEAN[:, None, None]) / STD[:, None, None]
    with torch.no_grad():
        logits: np.ndarray = segmentor.encode_decode(torch.from_numpy(normal.astype(np.float32)), None).numpy()
    return logits


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize('shape', [(1, 3, 64, 64), (2, 3, 51, 90), (3, 3, 33, 128), (1, 3, 5, 7)])
def test_onnxruntime_alone_predicts_as_mmseg(shape: tuple[int, ...], folder: Path, trained: Path) -> None:
    session = onnxruntime.InferenceSession(folder / 'm.onnx')
    image = noise(*shape)
    (logits,) = session.run(None, {'image': image})
    expected = mmsegs_logits(trained / 'epoch_2.ckpt', image)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert (logits.argmax(1) == expected.argmax(1)).all()


def test_openvino_alone_predicts_as_mmseg(folder: Path, trained: Path) -> None:
    model = openvino.Core().compile_model(folder / 'm.xml', 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    image = noise(2, 3, 51, 90)
    np.testing.assert_allclose(model(image)[0], mmsegs_logits(trained / 'epoch_2.ckpt', image), atol=1e-5)


def test_torch_alone_predicts_as_mmseg(folder: Path, trained: Path) -> None:
    model = torch.export.load(folder / 'm.pt2').module()
    image = noise(2, 3, 51, 90)
    with torch.no_grad():
        logits = model(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(logits, mmsegs_logits(trained / 'epoch_2.ckpt', image), atol=1e-5)


def test_the_metadata_name_classes_colours_and_the_proof(folder: Path, trained: Path) -> None:
    module = Checkpoint(trained / 'epoch_2.ckpt').module()
    model = onnx.load(folder / 'm.onnx')
    found = json.loads({each.key: each.value for each in model.metadata_props}['seglight'])
    assert found['classes'] == module.classes
    assert found['palette'] == [list(colour) for colour in module.palette]
    assert found['run'] == 'exp1/epoch_2.ckpt'
    assert found['versions']['torch'] == torch.__version__
    assert found['proof']['random']['images'] == 9
    assert found['proof']['validation']['images'] == 4
    assert found['proof']['validation']['equal_pixels'] == 1
    for name in ('m.pt2', 'm.xml'):
        assert read_metadata(folder / name).classes == module.classes


@pytest.mark.parametrize('name', ['m.onnx', 'm.pt2', 'm.xml', 'm.safetensors'])
def test_load_predicts_what_the_checkpoint_predicts(name: str, folder: Path, trained: Path) -> None:
    expected = seglight.load(trained / 'epoch_2.ckpt')
    found = seglight.load(folder / name, trust_checkpoint=name == 'm.pt2')
    assert found.classes == expected.classes
    images = [noise(50, 83, 3), noise(64, 64, 3), noise(64, 64, 3)]
    for mask, other in zip(found.predict(images), expected.predict(images), strict=True):
        np.testing.assert_array_equal(mask, other)
    merged, other_merged = (each.predict(images[0], tta=True, probabilities=True) for each in (found, expected))
    np.testing.assert_allclose(merged.probabilities, other_merged.probabilities, atol=1e-5)


def masks(folder: str) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(Path(folder, 'masks').glob('*.png'))}


@pytest.mark.parametrize(
    'flags',
    [
        [],
        ['--aug-test'],
        ['--model.segmentor.test_cfg={mode: slide, crop_size: [40, 32], stride: [24, 24], blend: gaussian}'],
        ['--data.val_transforms=[{type: Resize, height: 48, width: 80}]'],
    ],
    ids=['plain', 'views', 'windows', 'resized'],
)
def test_predict_writes_the_masks_of_the_checkpoint(
    flags: list[str], folder: Path, trained: Path, workspace: Path, run: Run
) -> None:
    for name, path in {'a': trained / 'epoch_2.ckpt', 'b': folder / 'm.onnx'}.items():
        done = run('predict', '--ckpt', path, '--output', name, *flags)
        assert done.status == 0, done.err
    expected, found = masks('a'), masks('b')
    assert found.keys() == expected.keys() and len(found) == 3
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask)


def test_validate_prints_the_figures_of_the_checkpoint(folder: Path, trained: Path, workspace: Path, run: Run) -> None:
    done = [run('validate', '--ckpt', path) for path in (trained / 'epoch_2.ckpt', folder / 'm.onnx')]
    assert [each.status for each in done] == [0, 0], done[1].err
    figures = [re.findall(r'(mIoU|mAcc|aAcc) +([\d.]+)', each.out) for each in done]
    assert figures[0] == figures[1] and len(figures[0]) == 3


def test_an_ensemble_of_a_checkpoint_and_its_file_is_the_checkpoint(
    folder: Path, trained: Path, workspace: Path, run: Run
) -> None:
    for name, more in {'a': [], 'b': ['--ckpt', folder / 'm.onnx']}.items():
        done = run('predict', '--ckpt', trained / 'epoch_2.ckpt', *more, '--output', name)
        assert done.status == 0, done.err
    for name, mask in masks('a').items():
        np.testing.assert_array_equal(masks('b')[name], mask)


def test_a_file_for_one_size_returns_masks_in_half_precision(
    folder: Path, trained: Path, workspace: Path, run: Run
) -> None:
    done = run(
        'export', trained / 'epoch_2.ckpt', 'half.onnx', '--size', '48', '64', '--output-kind', 'mask', '--half',
        '--allow-differences',
    )  # fmt: skip
    assert done.status == 0, done.err
    session = onnxruntime.InferenceSession('half.onnx')
    image = noise(2, 3, 48, 64)
    (found,) = session.run(None, {'image': image})
    assert found.dtype == np.uint8 and found.shape == (2, 48, 64)
    assert (found == mmsegs_logits(trained / 'epoch_2.ckpt', image).argmax(1)).mean() > 0.99
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, {'image': noise(1, 3, 48, 65)})
    done = run('predict', '--ckpt', 'half.onnx')
    assert done.status == 2
    assert 'half.onnx returns masks, but seglight needs logits: export it without --output-kind mask' in done.err


def test_8_bits_print_the_miou_that_they_cost(folder: Path, trained: Path, workspace: Path, run: Run) -> None:
    done = run('export', trained / 'epoch_2.ckpt', 'int8.onnx', '--int8', '--allow-differences')
    assert done.status == 0, done.err
    after, before = re.findall(r'mIoU +([\d.]+) %, ([\d.]+) % before', done.out)[0]
    for path, figure in (('int8.onnx', after), (trained / 'epoch_2.ckpt', before)):
        validated = run('validate', '--ckpt', path)
        assert float(re.findall(r'mIoU +([\d.]+)', validated.out)[0]) == pytest.approx(float(figure), abs=0.011)
    kinds = {node.op_type for node in onnx.load('int8.onnx').graph.node}
    assert 'QuantizeLinear' in kinds
    assert Path('int8.onnx').stat().st_size < 0.5 * (folder / 'm.onnx').stat().st_size


def planted(model: OnnxModel) -> OnnxModel:
    """Return a model whose last weights differ from those of the checkpoint."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    bias = next(each for each in proto.graph.initializer if each.name.endswith('conv_seg.bias'))
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] += 1
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    return OnnxModel(proto)


def test_a_file_that_predicts_other_masks_is_not_kept(
    folder: Path, trained: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = vars(export)['to_onnx']
    monkeypatch.setattr(export, 'to_onnx', lambda *arguments: planted(original(*arguments)))
    done = run('export', trained / 'epoch_2.ckpt', 'm.onnx')
    assert done.status == 2
    assert re.search(r'export: on 9 random images, [\d.]+ % of the pixels are equal, less than 99.99 %', done.err)
    assert list(Path().iterdir()) == []
    done = run('export', trained / 'epoch_2.ckpt', 'm.onnx', '--allow-differences')
    assert done.status == 0
    assert read_metadata(Path('m.onnx')).proof.random.equal_pixels < 0.9999  # type: ignore[union-attr]


def test_without_the_images_of_the_run_random_ones_prove(
    folder: Path, trained: Path, workspace: Path, run: Run
) -> None:
    done = run('export', trained / 'epoch_2.ckpt', 'm.onnx', '--root', 'moved')
    assert done.status == 0
    assert 'export: the proof uses random images alone: The image folder moved' in done.err
    assert read_metadata(Path('m.onnx')).proof.validation is None  # type: ignore[union-attr]
    done = run('export', trained / 'epoch_2.ckpt', 'i.onnx', '--root', 'moved', '--int8')
    assert (done.status, Path('i.onnx').exists()) == (2, False)
    assert 'export: --int8 needs images of the run to calibrate: The image folder moved' in done.err


def test_what_no_export_can_do_is_said(
    folder: Path, trained: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, file = trained / 'epoch_2.ckpt', folder / 'm.onnx'
    cases = {
        ('export', checkpoint, file): 'm.onnx exists; choose another name or remove it',
        ('export', checkpoint, 'm.bin', '--format', 'onnx'): 'm.bin must end with .onnx for --format onnx',
        ('export', checkpoint, 'no/x.onnx'): 'export: the folder no does not exist',
        ('export', file, 'x.xml'): 'is an exported model: use the checkpoint that it was exported from',
        ('export', file): 'is an exported model: use the checkpoint that it was exported from',
        ('export', checkpoint, 'x.pt2', '--int8'): '--int8 needs --format onnx or openvino',
        ('export', checkpoint, 'x.onnx', '--int8', '--half'): '--half and --int8 cannot be combined',
        ('export', checkpoint, 'x.onnx', '--size', '0', '9'): '--size must be a height and a width of at least 1',
        ('export', checkpoint, '--half'): '--half needs --format onnx, torch, openvino, got mmseg',
        ('fit', '--ckpt', file): 'is an exported model: use the checkpoint that it was exported from',
        (
            'predict',
            '--ckpt',
            folder / 'm.pt2',
        ): 'loading a program of torch.export can run code; pass --trust-checkpoint',
    }
    for argv, text in cases.items():
        done = run(*argv)
        assert (done.status, text in done.err) == (2, True), (argv, done.err)
        assert len(done.err.splitlines()) == 1
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    done = run('export', checkpoint, 'x.onnx')
    assert done.status == 2
    assert "export --format onnx needs onnxscript, which is not installed: pip install 'seglight[onnx]'" in done.err
    assert list(Path().iterdir()) == []


PAGE = ROOT / 'docs' / 'how-to' / 'export.md'


def test_the_page_does_what_it_says(
    folder: Path, trained: Path, workspace: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path('work_dirs/exp9').mkdir(parents=True)
    shutil.copy(trained / 'epoch_2.ckpt', 'work_dirs/exp9')
    Path('photos').mkdir()
    image = noise(40, 56, 3)
    for path in ('photo.jpg', 'photos/1.jpg'):
        Image.fromarray(image).resize((64, 48)).save(path)
    lines = [line for block in blocks_of(PAGE) for line in block.commands]
    commands = [line.removeprefix('seglight ') for line in lines if line.startswith('seglight ')]
    assert len(commands) == 5
    for command in commands:
        quick = ['--rounds', '1'] if command.startswith('benchmark') else []
        done = run(*shlex.split(command), *quick)
        assert done.status == 0, (command, done.err)
    code, *_ = (block.text for block in blocks_of(PAGE) if block.language == 'python')  # the server follows
    exec(code, {})
    own = Image.open('photo.png')
    np.testing.assert_array_equal(np.asarray(own), seglight.load('exp9').predict('photo.jpg'))
    expected = [channel for colour in seglight.load('exp9').palette for channel in colour]
    assert (own.getpalette() or [])[: len(expected)] == expected


def test_info_shows_an_exported_file(folder: Path, run: Run) -> None:
    done = run('info', folder / 'm.onnx')
    assert done.status == 0
    for words in ('exp1/epoch_2.ckpt', 'logits, float32', 'of any size', 'General trash', '9 random images: 100 %'):
        assert words in done.out
