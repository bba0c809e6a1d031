"""Packed data give the same samples, the same training and the same figures as the files they were made from."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import Result, write_tiny_config

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.data.images import read_image
from seglight.tools import pack as packing
from seglight.tools.data import data_module


def items(*words: str) -> list[Any]:
    module = data_module('data show', words)
    module.setup('fit')
    return [dataset[index] for dataset in module.datasets.values() for index in range(len(dataset))]


@pytest.mark.slow
def test_packed_data_are_the_same_data(
    tiny_config: Path, data_root: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, '_MIB', 5000)
    done = run('data', 'pack', '--config', tiny_config, '--size', '1')
    assert done.status == 0, done.err
    assert done.out.splitlines()[-1] == 'use them with --config packed/data.yaml, after your own --config'
    archives = sorted(Path('packed').rglob('*.zip'))
    assert len(archives) > 5
    with zipfile.ZipFile('packed/train/00000.zip') as archive:
        assert archive.testzip() is None
        name = archive.namelist()[0]
        assert archive.read(name) == (data_root / name.replace('img_dir', 'img_dir/train')).read_bytes()
    config = yaml.safe_load(Path('packed/data.yaml').read_text())['data']
    assert config['train'] == [{'type': 'ArchiveSource', 'path': 'train', 'images': 8, 'reduce_zero_label': False}]

    both = [str(tiny_config), 'packed/data.yaml']
    files, packed = items('--config', both[0]), items('--config', both[0], '--config', both[1])
    assert len(files) == len(packed) == 12
    for one, other in zip(files, packed, strict=True):
        assert torch.equal(one['image'], other['image'])
        assert torch.equal(one['mask'], other['mask'])
        assert one['meta']['name'] == other['meta']['name']
        assert read_image(Path(other['meta']['path'])).shape[:2] == one['meta']['original_size']

    checked = [
        run('data', 'check', *words) for words in (('--config', both[0]), ('--config', both[0], '--config', both[1]))
    ]
    assert checked[0] == checked[1]
    assert checked[0].status == 0

    for words in (('--config', both[0]), ('--config', both[0], '--config', both[1])):
        assert run('fit', *words).status == 0
    weights = [Checkpoint.find(f'exp{number}', mapped=True).weights for number in (1, 2)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    tables = [Path(f'work_dirs/exp{number}/metrics.csv').read_text() for number in (1, 2)]
    assert tables[0].splitlines()[0] == tables[1].splitlines()[0]
    predicted = run('predict', '--ckpt', 'exp2', '--overlays')
    assert predicted.status == 0, predicted.err
    assert len(list(Path('work_dirs/exp2').rglob('overlays/**/*.jpg'))) == 3


def test_the_same_command_finishes_what_another_began(
    tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, '_MIB', 5000)
    assert run('data', 'pack', '--config', tiny_config, '--size', '1', '--output', 'p').status == 0
    whole = {path: path.read_bytes() for path in Path('p').rglob('*.*') if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in whole}
    for name in ('p/train/00002.zip', 'p/train/00003.zip', 'p/data.yaml'):
        Path(name).unlink(missing_ok=True)
    for path in Path('p/val').iterdir():
        path.unlink()
    assert run('data', 'pack', '--config', tiny_config, '--size', '1', '--output', 'p').status == 0
    assert {path: path.read_bytes() for path in Path('p').rglob('*.*') if path.is_file()} == whole
    assert Path('p/train/00001.zip').stat().st_mtime_ns == times[Path('p/train/00001.zip')]
    other = run('data', 'pack', '--config', tiny_config, '--size', '2', '--output', 'p')
    assert (other.status, other.err.count('\n')) == (2, 1)
    assert 'p has archives of other data or of another size; choose another --output' in other.err
    Path('mine').mkdir()
    Path('mine/file').touch()
    assert 'is not a folder of data pack' in run('data', 'pack', '--config', tiny_config, '--output', 'mine').err
    assert 'must be from 1 to' in run('data', 'pack', '--config', tiny_config, '--size', '0').err


def test_a_bad_file_stops_packing_or_is_left_out(own_data: Path, workspace: Path, run: Callable[..., Result]) -> None:
    config = write_tiny_config(workspace / 'tiny.yaml', own_data)
    bad = sorted((own_data / 'ann_dir/train').iterdir())[3]
    bad.write_bytes(bad.read_bytes()[:100])
    done = run('data', 'pack', '--config', config)
    assert (done.status, done.err.count('\n')) == (2, 1)
    assert bad.name in done.err
    assert not list(Path('packed').rglob('*.zip'))
    done = run('data', 'pack', '--config', config, '--data.on_bad_sample=skip')
    assert done.status == 0, done.err
    assert f'{bad.name} cannot be read' in done.out
    assert 'packed/train: 7 images in 1 archive' in done.out


def test_a_damaged_member_is_named(tiny_config: Path, run: Callable[..., Result]) -> None:
    assert run('data', 'pack', '--config', tiny_config).status == 0
    path = Path('packed/train/00000.zip')
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        info = archive.infolist()[2]
        data[info.header_offset + 30 + len(info.filename) + info.file_size // 2] ^= 1
    path.write_bytes(data)
    done = run('data', 'check', '--config', tiny_config, '--config', 'packed/data.yaml')
    assert done.status == 2
    faults = [line for line in done.out.splitlines() if line.startswith('fault')]
    assert len(faults) == 1
    assert f'{path.name}/{info.filename} cannot be read: its bytes in the archive are damaged' in faults[0]
