"""`seglight convert`: files in, files out, and what is told on the way."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from checkpoints import originals
from conftest import TINY_SEGMENTOR, Result

from seglight.checkpoints.convert import convert
from seglight.errors import CheckpointError
from seglight.files import cache_dir, weights_folder
from seglight.models.recipe import Recipe

Run = Callable[..., Result]
PROBE = 'layer1.0.conv1.weight'


@pytest.fixture(scope='module')
def weights() -> dict[str, torch.Tensor]:
    return originals.resnet().weights


@pytest.fixture
def served(workspace: Path) -> Iterator[str]:
    """The address of a web server of the working folder."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(workspace))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_a_config_names_what_was_converted(run: Run, workspace: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save({'model': weights}, 'r18.pth')
    result = run('convert', 'resnet', 'r18.pth')
    assert (result.status, result.err) == (0, '')
    lines = result.out.splitlines()
    assert lines[0].startswith(f'resnet: {len(weights) - 2} keys')
    assert lines[1] == 'dropped: 2 keys (fc.bias, fc.weight)'
    assert lines[-2] == str(weights_folder() / 'r18.pth')
    address = lines[-1].removeprefix('in a config: --model.segmentor.pretrained=')
    backbone = {**TINY_SEGMENTOR['backbone'], 'type': 'ResNet', 'stem_channels': 64}
    segmentor = Recipe({**TINY_SEGMENTOR, 'backbone': backbone, 'pretrained': address}).for_data(11).build()
    loaded = segmentor.backbone.state_dict()
    assert [name for name, value in loaded.items() if not torch.equal(value, weights[name])] == []


def test_weights_that_are_not_in_the_cache_are_asked_for_by_name(run: Run, workspace: Path, weights: Any) -> None:
    torch.save(weights, 'r18.pth')
    run('convert', 'resnet', 'r18.pth')
    with pytest.raises(CheckpointError, match=r"weights://r81.pth was not found: .*; did you mean 'r18.pth'\?"):
        Recipe({**TINY_SEGMENTOR, 'pretrained': 'weights://r81.pth'}).for_data(11).build()


def test_every_format_goes_in_and_out(run: Run, workspace: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save({'state_dict': {f'module.{name}': value for name, value in weights.items()}, 'epoch': 3}, 'zip.pth')
    torch.save(weights, 'legacy.pth', _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(weights, 'new.safetensors')
    for source in ('zip.pth', 'legacy.pth', 'new.safetensors'):
        for target in ('out/a.pth', 'out/a.safetensors'):
            Path(target).unlink(missing_ok=True)
            assert run('convert', 'resnet', source, target).status == 0
            read = torch.load if target.endswith('pth') else safetensors.torch.load_file
            assert torch.equal(read(target)[PROBE], weights[PROBE]), (source, target)
    assert sorted(path.name for path in Path('out').iterdir()) == ['a.pth', 'a.safetensors']


def test_weights_of_jax_are_read(run: Run, workspace: Path) -> None:
    original = originals.vitjax('vit.npz')
    assert run('convert', 'vitjax', 'vit.npz', 'vit.pth').status == 0
    expected = convert('vitjax', original.weights, '').weights
    found = torch.load('vit.pth')
    assert [name for name, value in expected.items() if not torch.equal(found[name], value)] == []


def test_an_address_is_fetched_once(run: Run, served: str, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, 'r18.pth')
    assert run('convert', 'resnet', f'{served}/r18.pth?download=1').status == 0
    Path('r18.pth').unlink()
    assert run('convert', 'resnet', f'{served}/r18.pth?download=1', 'again.pth').status == 0
    assert (weights_folder() / 'r18.pth').is_file()
    missing = run('convert', 'resnet', f'{served}/r50.pth')
    assert missing.status == 2
    assert f'{served}/r50.pth cannot be downloaded: HTTP Error 404' in missing.err
    assert len(list((cache_dir() / 'downloads').glob('*/*'))) == 1


def test_timm_means_whichever_family_the_file_is_of(run: Run, workspace: Path) -> None:
    torch.save(originals.swin().weights, 'swin.pth')
    result = run('convert', 'timm', 'swin.pth')
    assert result.out.startswith('swin: ')
    assert 'initial values: 8 keys (norm0.bias, norm0.weight, norm1.bias, ...)' in result.out


def save(name: str, value: Any) -> None:
    torch.save(value, name)


WRONG: dict[str, tuple[str, Callable[[], Any], str]] = {
    'another family': (
        'swin',
        lambda: save('w.pth', originals.vit().weights),
        'w.pth looks like vit weights, not swin',
    ),
    'no family': (
        'vit',
        lambda: save('w.pth', {'a.b': torch.zeros(1)}),
        'w.pth has an unknown layout (its keys are a.b, ...)',
    ),
    'no known family of timm': ('timm', lambda: save('w.pth', {'a': torch.zeros(1)}), 'not timm weights'),
    "mmseg's own": (
        'vit',
        lambda: save('w.pth', {'backbone.layers.0.ln1.weight': torch.zeros(1)}),
        "has mmseg's own keys and needs no conversion",
    ),
    'a distilled DeiT': (
        'deit',
        lambda: save('w.pth', {**originals.vit().weights, 'dist_token': torch.zeros(1)}),
        "w.pth has dist_token, which mmseg's VisionTransformer does not support",
    ),
    'a part of the weights': (
        'mit',
        lambda: save('w.pth', {k: v for k, v in originals.mit().weights.items() if 'attn.kv' not in k}),
        'w.pth looks like mit weights, but some are missing',
    ),
    'no file': ('vit', lambda: None, 'w.pth was not found'),
    'no weights': ('vit', lambda: save('w.pth', {'epoch': 3}), 'w.pth contains no weights'),
    'a damaged file': ('vit', lambda: Path('w.pth').write_bytes(b'PK\x03\x04 and then'), 'w.pth is not a checkpoint'),
    'an unknown family': ('vgg', lambda: None, "invalid choice: 'vgg'"),
}


@pytest.mark.parametrize('case', WRONG)
def test_what_cannot_be_converted_is_told_in_one_line(case: str, run: Run, workspace: Path) -> None:
    family, make, said = WRONG[case]
    make()
    result = run('convert', family, 'w.pth', 'out/new.pth')
    assert (result.status, result.out) == (2, '')
    assert len(result.err.splitlines()) == 1
    assert said in result.err
    assert not Path('out').exists()


def test_a_target_that_cannot_be_written_is_told(run: Run, workspace: Path, weights: dict[str, torch.Tensor]) -> None:
    torch.save(weights, 'r18.pth')
    assert 'r18.onnx must end with .pth or .safetensors' in run('convert', 'resnet', 'r18.pth', 'r18.onnx').err
    result = run('convert', 'resnet', 'r18.pth', 'r18.pth/inside.pth')
    assert result.status == 2
    assert 'inside.pth cannot be written: ' in result.err


def test_a_damaged_file_of_numpy_is_told(run: Run, workspace: Path) -> None:
    Path('vit.npz').write_text('no arrays')
    result = run('convert', 'vitjax', 'vit.npz')
    assert result.status == 2
    assert 'vit.npz cannot be read as a NumPy file' in result.err
