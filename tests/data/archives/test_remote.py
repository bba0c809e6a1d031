"""Archives at an address: read by ranges, from fsspec's memory and from a web server on loopback that misbehaves."""

import asyncio
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from data.archives.range_server import RangeServer, serving
from fsspec.asyn import AsyncFileSystem
from PIL import Image

from seglight.data.archives import archive as archives
from seglight.data.archives import index, remote
from seglight.data.archives.addresses import PROTOCOLS
from seglight.data.archives.archive import Member
from seglight.data.archives.index import find_member
from seglight.data.sources import ArchiveSource, Context, Samples
from seglight.errors import DataError, SetupError

CLASSES = ['sky', 'road', 'car']


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, no address known, and no waiting."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(archives, 'REMOTE', {})
    monkeypatch.setattr(index, 'REMOTE', archives.REMOTE)
    monkeypatch.setattr(remote, 'PAUSES', (0.01, 0.01))
    monkeypatch.setitem(PROTOCOLS, 'memory', 'fsspec')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images with masks, as files, in a zip and in a tar."""
    rng = np.random.default_rng(0)
    root = tmp_path / 'served'
    for name in ('a', 'b', 'sub/c', 'sub/d'):
        for place, suffix, shape in (('img_dir', '.jpg', (30, 40, 3)), ('ann_dir', '.png', (30, 40))):
            path = root / place / f'{name}{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 3, shape, np.uint8)).save(path)
    files = sorted(path for path in root.rglob('*.*') if path.is_file())
    with zipfile.ZipFile(root / 'all.zip', 'w') as archive, tarfile.open(root / 'all.tar', 'w') as tar:
        for file in files:
            archive.write(file, file.relative_to(root).as_posix())
            tar.add(file, file.relative_to(root).as_posix())
    return root


@pytest.fixture
def server(folder: Path) -> Iterator[RangeServer]:
    with serving(folder) as server:
        yield server


def samples_of(path: str | list[str], root: Path = Path(), cache_size: int = 0) -> Samples:
    return ArchiveSource(path, cache_size=cache_size).samples(Context(CLASSES, root=root))


def failure(address: str) -> str:
    with pytest.raises(DataError) as error:
        samples_of(address)
    assert '\n' not in str(error.value)
    return str(error.value)


def member_failure(samples: Samples) -> str:
    with pytest.raises(DataError) as error:
        (samples[0].mask or pytest.fail()).read()
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_a_web_server_and_fsspecs_memory_give_the_samples_of_the_file(
    kind: str, folder: Path, server: RangeServer
) -> None:
    fsspec.filesystem('memory').pipe_file(f'/bucket/all.{kind}', (folder / f'all.{kind}').read_bytes())
    expected = samples_of(f'all.{kind}', folder)
    for place in (f'{server.address}/all.{kind}', f'memory://bucket/all.{kind}', 'memory://bucket'):
        for cache_size in (0, 1):
            found = samples_of(place, cache_size=cache_size)
            for samples in (found, pickle.loads(pickle.dumps(found))):
                assert samples.texts('names') == expected.texts('names')
                assert samples.texts('images') == [str(each.image) for each in samples]
                for one, other in zip(samples, expected, strict=True):
                    assert one.mask is not None
                    assert other.mask is not None
                    assert (one.mask.read() == other.mask.read()).all()
                    assert one.mask.size() == (30, 40)
                    assert member(one.image).read() == member(other.image).read()
    fsspec.filesystem('memory').rm('/bucket', recursive=True)


def member(path: Path) -> Member:
    found = find_member(path)
    assert found is not None
    return found


def test_the_list_is_read_once_and_a_member_by_one_request(server: RangeServer) -> None:
    address = f'{server.address}/all.zip'
    samples_of(address)
    server.requests.clear()
    samples = samples_of(address, cache_size=1)
    assert [method for method, _, _ in server.requests] == ['HEAD']  # its list is kept
    member(samples[1].image).read()
    assert [method for method, _, _ in server.requests] == ['HEAD', 'GET']
    assert member(samples[1].image).open().read() == member(samples[1].image).read()
    assert len(server.requests) == 2  # it is in the cache


def test_without_a_version_the_list_is_read_each_time(server: RangeServer) -> None:
    server.tags = False
    for _ in range(2):
        server.requests.clear()
        samples_of(f'{server.address}/all.zip')
        assert len(server.requests) > 2
    server.dates = True
    samples_of(f'{server.address}/all.zip')
    server.requests.clear()
    samples_of(f'{server.address}/all.zip')
    assert len(server.requests) == 1


def test_without_a_version_no_member_is_kept(server: RangeServer, folder: Path) -> None:
    server.tags = False
    address, written = f'{server.address}/all.tar', (folder / 'all.tar').read_bytes()
    before = samples_of(address, cache_size=1)
    content = member(before[0].image).read()
    other = bytes(each ^ 255 for each in content)
    (folder / 'all.tar').write_bytes(written.replace(content, other))
    assert member(samples_of(address, cache_size=1)[0].image).read() == other


def test_a_damaged_member_of_the_cache_is_fetched_again(server: RangeServer, tmp_path: Path) -> None:
    samples = samples_of(f'{server.address}/all.zip', cache_size=1)
    content = member(samples[0].image).read()
    (kept,) = (tmp_path / 'cache').rglob('members/??/*')
    kept.write_bytes(kept.read_bytes()[:-1] + b'\0\0')
    server.requests.clear()
    assert member(samples[0].image).read() == content
    assert member(samples[0].image).read() == content
    assert len(server.requests) == 1


def test_no_address_is_opened_that_the_config_does_not_name(server: RangeServer) -> None:
    for text in (f'{server.address}/all.zip/img_dir/a.jpg', str(Path(f'{server.address}/all.zip/img_dir/a.jpg'))):
        assert find_member(Path(text)) is None
    assert server.requests == []


def test_failures_that_may_pass_are_tried_again(server: RangeServer) -> None:
    samples = samples_of(f'{server.address}/all.zip')
    for status in (503, 500, 429):
        server.failures, server.status = 2, status
        assert samples[0].mask is not None
        assert samples[0].mask.read().shape == (30, 40)
    server.failures, server.status = 3, 503
    assert 'all.zip was answered with status 503; try again later' in member_failure(samples)
    assert server.failures == 0
    server.failures, server.status = 3, 403
    assert 'all.zip may not be read; put credentials into' in member_failure(samples)
    assert server.failures == 2  # asked once
    server.failures, server.status = 3, 416
    assert 'all.zip has changed since its list was read; start again' in member_failure(samples)
    server.failures, server.cut = 0, 5
    assert 'all.zip cannot be read (ConnectionError: ' in member_failure(samples)


def test_what_is_wrong_with_an_archive_is_one_line(server: RangeServer, folder: Path) -> None:
    address = server.address
    assert f'An archive cannot be read: {address}/none.zip does not exist; correct the address' in failure(
        f'{address}/none.zip'
    )
    assert 'must be an archive that ends with .zip or .tar' in failure(f'{address}/sub')
    (folder / 'bad.zip').write_bytes(b'no zip' * 99)
    assert f'The archive {address}/bad.zip cannot be read: it is cut off' in failure(f'{address}/bad.zip')
    (folder / 'empty.zip').write_bytes(b'')
    assert 'it is empty' in failure(f'{address}/empty.zip')
    assert 'does not exist' in failure('memory://none.zip')
    server.ranges = False
    assert 'all.zip is on a server that does not send parts of files' in failure(f'{address}/all.zip')


def test_a_server_that_is_gone_or_slow_is_named(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(f'{server.address}/all.zip')
    monkeypatch.setattr(remote, 'TIMEOUT', 0.2)
    server.delay = 2
    assert 'all.zip did not answer within 0.2 s; try again later' in member_failure(samples)
    assert 'An archive cannot be read: http://127.0.0.1:1/a.zip cannot be read (' in failure('http://127.0.0.1:1/a.zip')


@pytest.mark.parametrize('kind', ['zip', 'tar'])
def test_an_archive_that_changes_in_the_middle_is_named(
    kind: str, server: RangeServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = samples_of(f'{server.address}/all.{kind}')
    data = bytearray((folder / f'all.{kind}').read_bytes())
    data[len(data) // 2] ^= 1
    (folder / f'all.{kind}').write_bytes(data)
    assert f'all.{kind} has changed since its list was read; start again' in member_failure(samples)
    server.tags = False
    samples = samples_of(f'{server.address}/all.{kind}')
    (folder / f'all.{kind}').write_bytes(data * 2)
    monkeypatch.setattr(remote, 'CHECK_EVERY', -1)
    assert f'all.{kind} has changed since its list was read; start again' in member_failure(samples)


@pytest.mark.parametrize('name', ['a?x=1.zip', 'b.zip::file::c.zip', '%2e%2e/a.zip'])
def test_a_folder_that_lists_a_file_with_another_kind_of_address_is_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsspec.filesystem('memory'), 'ls', lambda *_, **__: [f'/bucket/{name}'])
    start = 'A folder of archives cannot be read: memory://bucket lists a file that is not opened: an address must'
    assert failure('memory://bucket').startswith(start)


class Mute(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A bucket that never answers."""

    async def _info(self, *_: object, **__: object) -> None:
        await asyncio.sleep(60)


def test_a_bucket_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, 'TIMEOUT', 0.2)
    monkeypatch.setattr(fsspec, 'filesystem', lambda _: Mute())
    assert 's3://bucket/a.zip did not answer within 0.2 s; try again later' in failure('s3://bucket/a.zip')


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(SetupError, match=r's3://bucket/a\.zip needs a package .*: pip install s3fs'):
        samples_of('s3://bucket/a.zip')


def test_a_copy_of_the_archive_elsewhere_has_other_samples(server: RangeServer, folder: Path) -> None:
    shutil.copy(folder / 'all.zip', folder / 'copy.zip')
    with pytest.raises(DataError, match=r'all\.zip/.* and .*copy\.zip/.* have the same name'):
        samples_of([f'{server.address}/all.zip', f'{server.address}/copy.zip'])
