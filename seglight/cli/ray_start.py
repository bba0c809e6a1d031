"""Start Ray on this machine, or connect to a cluster that runs."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglight.cores import cores
from seglight.errors import UsageError, one_line
from seglight.extras import import_extra

#: The address that starts Ray on this machine, and the one of a cluster that already runs on it.
LOCAL, RUNNING = 'local', 'auto'

#: Set before Ray is imported: no usage reports, workers with the priority of this process, which Ray would lower, no
#: second copy of what they print, and no note about a default that changes.
ENVIRONMENT = {
    'RAY_USAGE_STATS_ENABLED': '0',
    'RAY_worker_niceness': '0',
    'RAY_TRAIN_ENABLE_PRINT_PATCH': '0',
    'RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO': '0',
}

#: By default, Ray listens on all interfaces on Linux; without support for clusters, it listens on loopback.
ON_LOOPBACK = {'RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER': '0'}

#: The scheme of Ray Client, and its port.
CLIENT, CLIENT_PORT = 'ray://', 10001

#: Seconds to wait for an answer of an address.
WAIT = 5.0

#: What opens a connection of gRPC, with an empty frame of settings, and the type of the frame that must answer
#: (RFC 9113, sections 3.4 and 6.5).
PREFACE, SETTINGS = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), 4


@contextmanager
def connected(address: str, option: str = '--ray') -> Iterator[Any]:
    """Return a context with Ray, connected to a cluster; one that was started here ends with it.

    A connection that this process already has is used as it is.

    Args:
        address: `local` to start Ray on this machine, on loopback and without dashboard; `auto` for the cluster that
            runs on it; otherwise `HOST:PORT` or `ray://HOST:PORT`.
        option: the option that names the address, for errors.

    Raises:
        UserError: if Ray is not installed, or no cluster answers.
    """
    for name, value in (ENVIRONMENT | (_of_own_cluster() if address == LOCAL else {})).items():
        os.environ.setdefault(name, value)
    ray = import_extra('ray', 'ray', option)
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {'log_to_driver': False, 'logging_level': logging.CRITICAL}
    if address == LOCAL:
        quiet |= {'num_cpus': cores(), 'include_dashboard': False, '_node_ip_address': '127.0.0.1'}
    else:
        _check_address(address, option)
    with _handler_kept():
        try:
            with _outside():
                ray.init(address=address, **quiet)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError, ray.exceptions.RayError) as error:
            raise UsageError(f'{option} {address}: {one_line(error)[:200]}') from error
        try:
            yield ray
        finally:
            ray.shutdown()


def _of_own_cluster() -> dict[str, str]:
    """Return the variables of a cluster that this process starts: other users of the machine reach its ports."""
    if 'ray' in sys.modules:  # it has read them: its later releases then use the token in the home folder
        return ON_LOOPBACK
    return ON_LOOPBACK | {'RAY_AUTH_MODE': 'token', 'RAY_AUTH_TOKEN': secrets.token_hex(32)}


@contextmanager
def _handler_kept() -> Iterator[None]:
    """Restore the handler of SIGTERM, which Ray replaces and leaves."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _outside() -> Iterator[None]:
    """Leave the working folder, where Ray's workers would look for optional packages, as `own_modules` does."""
    before = Path.cwd()
    os.chdir(Path(__file__).parents[2])  # where seglight itself is found
    try:
        yield
    finally:
        os.chdir(before)


def _check_address(address: str, option: str) -> None:
    """Check that a server of gRPC answers at an address, since Ray would wait long for it.

    Raises:
        UsageError: if none does, or it is not an address.
    """
    if address == RUNNING:
        return
    try:
        place = _place(address)
    except ValueError as error:
        choice = f'{LOCAL}, {RUNNING}, HOST:PORT or {CLIENT}HOST:PORT'
        raise UsageError(f"{option} must be {choice}, got '{address}'") from error
    try:
        with socket.create_connection(place, WAIT) as connection:
            if os.environ.get('RAY_USE_TLS', '0') == '0':
                _greet(connection)
    except OSError as error:
        raise UsageError(f'{option} {address}: no cluster answers ({one_line(error)}); ray start starts one') from error


def _place(address: str) -> tuple[str, int]:
    """Return the host and the port of an address.

    Raises:
        ValueError: if it is not an address.
    """
    host, colon, port = address.removeprefix(CLIENT).rpartition(':')
    if address.startswith(CLIENT) and not colon:
        host, port = port, str(CLIENT_PORT)
    host.encode('idna')  # as the resolver does; raises a ValueError
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return host, int(port)


def _greet(connection: socket.socket) -> None:
    """Check that a server of gRPC is at the other end of a connection.

    Raises:
        OSError: if it is another one, or does not answer.
    """
    connection.sendall(PREFACE)
    with connection.makefile('rb') as answer:
        if answer.read(9)[3:4] != bytes([SETTINGS]):
            raise ConnectionError('it does not speak gRPC')
