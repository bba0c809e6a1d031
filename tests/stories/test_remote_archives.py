"""Training on archives at an address: the same weights as on files, and nothing secret in what is written."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from conftest import Result
from data.archives.range_server import RangeServer, serving

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.data.archives import remote


@pytest.fixture
def server(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """The data of the tiny config in two archives on a web server."""
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(remote, 'PAUSES', (0.01,))
    (tmp_path / 'served').mkdir()
    for split in ('train', 'val'):
        with zipfile.ZipFile(tmp_path / f'served/{split}.zip', 'w') as archive:
            for folder in ('img_dir', 'ann_dir'):
                for path in sorted((data_root / folder / split).iterdir()):
                    archive.write(path, f'{folder}/{path.name}')
    with serving(tmp_path / 'served') as server:
        yield server


def write_config(name: str, **data: object) -> str:
    Path(name).write_text(yaml.safe_dump({'_base_': 'tiny.yaml', 'data': data}))
    return name


def sources(server: RangeServer) -> dict[str, object]:
    return {
        split: {'_delete_': True, 'type': 'ArchiveSource', 'path': f'{server.address}/{split}.zip'}
        for split in ('train', 'val')
    }


@pytest.mark.slow
def test_training_equals_that_on_files_also_from_the_cache(
    tiny_config: Path, server: RangeServer, run: Callable[..., Result]
) -> None:
    config = write_config('remote.yaml', **sources(server), num_workers=2)
    assert run('fit', '--config', tiny_config).status == 0
    requests = []
    for _ in range(2):
        server.requests.clear()
        done = run('fit', '--config', config)
        assert done.status == 0, done.err
        requests.append([wanted for _, _, wanted in server.requests if wanted])  # the ranges
    weights = [Checkpoint.find(f'exp{number}', mapped=True).weights for number in (1, 2, 3)]
    for other in weights[1:]:
        assert all(torch.equal(value, other[name]) for name, value in weights[0].items())
    assert len(requests[0]) > 20
    assert requests[1] == []
    done = run('validate', '--ckpt', 'exp2')
    assert (done.status, 'a checkpoint may not name an address' in done.err) == (2, True)
    assert run('validate', '--ckpt', 'exp2', '--config', config).status == 0
    done = run('report', 'exp2')
    assert done.status == 0, done.err
    test = sources(server)['val']
    Path('test.yaml').write_text(yaml.safe_dump({'data': {'test': test}}))
    done = run('predict', '--ckpt', 'exp1', '--config', 'test.yaml', '--pseudo-labels', '0.01', '--overlays')
    assert done.status == 0, done.err
    assert len([path for path in Path('work_dirs').rglob('img_dir/**/*.jpg') if path.is_file()]) == 4


@pytest.mark.slow
def test_a_member_that_cannot_be_fetched_is_left_out(
    tiny_config: Path, server: RangeServer, run: Callable[..., Result], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / 'served/train.zip') as file:
        info = next(each for each in file.infolist() if each.filename.startswith('img_dir'))
    server.refused = f'bytes={info.header_offset}-'
    config = write_config('remote.yaml', **sources(server))
    done = run('fit', '--config', config)
    assert done.status == 2
    assert (
        f'train.zip/{info.filename} cannot be read: {server.address}/train.zip was answered with status 503' in done.err
    )
    done = run('fit', '--config', config, '--data.on_bad_sample=skip')
    assert done.status == 0, done.err
    assert info.filename in done.err + done.out


def test_credentials_are_not_written_anywhere(
    tiny_config: Path, server: RangeServer, run: Callable[..., Result]
) -> None:
    host = server.address.removeprefix('http://')
    for address in (f'http://me:hunter2@{host}/train.zip', f'{server.address}/train.zip?sig=hunter2'):
        Path('bad.yaml').unlink(missing_ok=True)
        options = [f'--data.train={{type: ArchiveSource, path: "{address}"}}']
        done = run('fit', '--config', tiny_config, *options)
        assert done.status == 2
        assert 'an address must not contain a user, a password or a query' in done.err
        assert 'hunter2' not in done.err + done.out
        assert not [path for path in Path().rglob('*') if path.is_file() and b'hunter2' in path.read_bytes()]
    assert server.requests == []
