"""Web servers that send too much, too slowly or something else, and redirects to where no config points."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from data.archives.range_server import RangeServer, serving
from yarl import URL

from seglight.data.archives import remote
from seglight.data.archives.web import RefusedError, _check_redirect, distance
from seglight.data.formats import UnreadableError

CONTENT = bytes(range(256)) * 16


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    monkeypatch.setattr(remote, 'PAUSES', (0.01, 0.01))
    (tmp_path / 'a.zip').write_bytes(CONTENT)
    with serving(tmp_path) as server:
        yield server


def test_a_body_of_another_size_or_encoding_is_not_read(server: RangeServer) -> None:
    found = remote.connect(f'{server.address}/a.zip')
    assert found.fetch(3, 1000) == CONTENT[3:1000]
    server.extra = 1 << 26
    with pytest.raises(UnreadableError, match=r'a\.zip is on a server that sends more than was asked for'):
        found.fetch(0, 10)
    assert server.sent < 1 << 25  # what the buffers of the system hold
    server.extra, server.compressed = 0, True
    with pytest.raises(UnreadableError, match=r'a\.zip is on a server that compresses parts of files'):
        found.fetch(0, 1000)
    server.compressed = False
    assert found.fetch(3, 1000) == CONTENT[3:1000]
    assert len(server.requests) == 5  # none was tried again


def test_a_server_that_drips_is_given_up_once(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, 'TIMEOUT', 0.3)
    found = remote.connect(f'{server.address}/a.zip')
    server.pause, begun = 0.05, time.monotonic()
    with pytest.raises(
        UnreadableError, match=r'a\.zip cannot be read \(ConnectionError: only \d+ of 4096 bytes came in'
    ):
        found.fetch(0, 4096)
    assert time.monotonic() - begun < 2
    assert len(server.requests) == 2


def test_redirects_between_public_hosts_and_to_the_same_place_are_followed(server: RangeServer) -> None:
    server.redirects['/old.zip'] = '/a.zip'
    with serving(server.folder) as other:
        server.redirects['/other.zip'] = f'{other.address}/a.zip'
        for name in ('old', 'other'):
            assert remote.connect(f'{server.address}/{name}.zip').fetch(0, 10) == CONTENT[:10]


@pytest.mark.parametrize('target', ['http://127.0.0.1:{}/a.zip', 'http://127.1:{}/a.zip', 'http://[::1]:{}/a.zip'])
def test_a_redirect_from_the_internet_to_this_machine_is_not_followed(
    target: str, server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('http_proxy', server.address)  # it answers in place of the public host
    server.redirects['http://8.8.8.8/a.zip'] = target.format(server.server_address[1])
    with pytest.raises(
        UnreadableError, match=r'http://8\.8\.8\.8/a\.zip leads to http://.*, in the local network or on'
    ):
        remote.connect('http://8.8.8.8/a.zip')
    assert {path for _, path, _ in server.requests} == {'http://8.8.8.8/a.zip'}


@pytest.mark.parametrize(
    ('target', 'refused'),
    [
        ('http://8.8.8.8/a.zip', True),
        ('ftp://8.8.8.8/a.zip', True),
        ('/b.zip', False),
        ('https://1.1.1.1/a.zip', False),
    ],
)
def test_a_redirect_away_from_https_is_not_followed(target: str, refused: bool) -> None:
    answer = SimpleNamespace(url=URL('https://8.8.8.8/a.zip'), headers={'Location': target}, close=lambda: None)
    redirect: Any = SimpleNamespace(response=answer)
    with pytest.raises(RefusedError, match='without encryption') if refused else nullcontext():
        asyncio.run(_check_redirect(None, None, redirect))


@pytest.mark.parametrize(
    ('address', 'expected'),
    [
        ('127.0.0.1', 0), ('::1', 0), ('169.254.169.254', 0), ('fe80::1%eth0', 0), ('0.0.0.0', 0), ('::ffff:127.0.0.1', 0),
        ('10.0.0.1', 1), ('192.168.1.1', 1), ('fd00::1', 1), ('100.64.0.1', 1), ('8.8.8.8', 2), ('2606:4700::1111', 2),
    ],
)  # fmt: skip
def test_distances_of_addresses(address: str, expected: int) -> None:
    assert distance(address) == expected
