"""Ray starts on loopback, without reports; an address where no cluster answers is one line."""

import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seglight.cli import ray_start
from seglight.cli.ray_start import connected
from seglight.errors import ConfigError, UsageError

ERRORS = SimpleNamespace(RayError=LookupError)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a stand-in for Ray is called with; the variables that it would read are restored."""
    found: list[dict[str, Any]] = []
    ray = SimpleNamespace(
        init=lambda **arguments: found.append({**arguments, 'cwd': Path.cwd(), 'environment': dict(os.environ)}),
        shutdown=lambda: found.append({}),
        is_initialized=lambda: False,
        exceptions=ERRORS,
    )
    monkeypatch.setattr(ray_start, 'import_extra', lambda *_: ray)
    own = {name: value for name, value in os.environ.items() if not name.startswith('RAY_')}
    monkeypatch.delitem(sys.modules, 'ray', raising=False)
    monkeypatch.setattr(os, 'environ', own)
    yield found


def test_a_local_cluster_is_on_loopback_and_reports_nothing(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    os.chdir(tmp_path)
    with connected('local'):
        (start,) = calls
    assert (start['address'], start['include_dashboard'], start['_node_ip_address']) == ('local', False, '127.0.0.1')
    assert start['environment']['RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER'] == '0'
    assert start['environment']['RAY_USAGE_STATS_ENABLED'] == '0'
    assert start['environment']['RAY_worker_niceness'] == '0'
    assert start['cwd'] != tmp_path  # which workers would search for optional packages
    assert Path.cwd() == tmp_path
    assert calls[1:] == [{}]


def test_a_local_cluster_has_a_token_of_its_own(calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    with connected('local'):
        pass
    first = calls[0]['environment']
    assert first['RAY_AUTH_MODE'] == 'token'
    assert re.fullmatch('[0-9a-f]{64}', first['RAY_AUTH_TOKEN'])
    monkeypatch.delitem(os.environ, 'RAY_AUTH_TOKEN')
    with connected('local'):
        assert calls[-1]['environment']['RAY_AUTH_TOKEN'] != first['RAY_AUTH_TOKEN']


def test_a_chosen_authentication_is_kept(calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, 'RAY_AUTH_MODE', 'disabled')
    with connected('local'):
        assert calls[0]['environment']['RAY_AUTH_MODE'] == 'disabled'


@pytest.mark.parametrize('address', ['127.0.0.1:{}', 'ray://127.0.0.1:{}'])
def test_an_address_where_nothing_listens_is_one_line_at_once(calls: list[dict[str, Any]], address: str) -> None:
    with socket.socket() as own:
        own.bind(('127.0.0.1', 0))
        address = address.format(own.getsockname()[1])
    begin = time.monotonic()
    with pytest.raises(UsageError, match=rf'^--ray {address}: no cluster answers \(.*refused'), connected(address):
        pass
    assert time.monotonic() - begin < ray_start.WAIT + 1
    assert not calls


@pytest.mark.parametrize(
    'address', ['', 'nonsense', '127.0.0.1', 'host:port', ':1', 'host:99999', 'ray://', 'a..b:80', f'{"a" * 70}:80']
)
def test_what_is_no_address_is_rejected(calls: list[dict[str, Any]], address: str) -> None:
    expected = r'^--ray must be local, auto, HOST:PORT or ray://HOST:PORT, got'
    with pytest.raises(UsageError, match=expected), connected(address):
        pass
    assert not calls


@contextmanager
def server(*answers: bytes) -> Iterator[str]:
    """Give the address of a server that answers the first connection and keeps it."""
    with socket.socket() as own, ThreadPoolExecutor(1) as pool:
        own.bind(('127.0.0.1', 0))
        own.listen()

        def serve() -> None:
            with own.accept()[0] as connection:
                for answer in answers:
                    connection.sendall(answer)
                while connection.recv(1000):
                    pass

        pool.submit(serve)
        yield f'127.0.0.1:{own.getsockname()[1]}'


def test_a_cluster_that_answers_gets_the_address(calls: list[dict[str, Any]]) -> None:
    with server(bytes([0, 0, 6, 4, 0]), bytes([0, 0, 0, 0, 0, 5, 0, 0, 64, 0])) as address, connected(address):
        assert calls[0]['address'] == address
        assert 'num_cpus' not in calls[0]
        assert 'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER' not in calls[0]['environment']
        assert 'RAY_AUTH_TOKEN' not in calls[0]['environment']


@pytest.mark.parametrize(
    ('answers', 'reason'), [([], 'timed out'), ([b'SSH-2.0-OpenSSH_9.6\r\n'], 'it does not speak gRPC')]
)
def test_another_server_is_one_line_at_once(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, answers: list[bytes], reason: str
) -> None:
    monkeypatch.setattr(ray_start, 'WAIT', 0.5)
    expected = rf'^--ray 127.0.0.1:\d+: no cluster answers \({reason}\); ray start starts one$'
    with server(*answers) as address, pytest.raises(UsageError, match=expected), connected(address):
        pass
    assert not calls


def test_an_error_of_ray_is_one_line(calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: Any) -> None:
        raise LookupError('rpc_code: 4\ndeadline exceeded')

    ray = SimpleNamespace(init=fail, is_initialized=lambda: False, exceptions=ERRORS)
    monkeypatch.setattr(ray_start, 'import_extra', lambda *_: ray)
    with pytest.raises(UsageError, match=r'^--ray local: rpc_code: 4'), connected('local'):
        pass


def test_the_handler_that_ray_replaces_is_restored(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def init(**arguments: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)

    ray = SimpleNamespace(init=init, shutdown=lambda: None, is_initialized=lambda: False, exceptions=ERRORS)
    monkeypatch.setattr(ray_start, 'import_extra', lambda *_: ray)
    with connected('local'):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_without_ray_the_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'environ', dict(os.environ))
    monkeypatch.setitem(sys.modules, 'ray', None)
    expected = r"^--ray needs ray, which is not installed: pip install 'seglight\[ray\]'$"
    with pytest.raises(ConfigError, match=expected), connected('local'):
        pass
