"""Start Ray on this machine, or connect to a cluster that runs."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seglight.environment import cores
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
    for name, value in (ENVIRONMENT | (ON_LOOPBACK if address == LOCAL else {})).items():
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
    try:
        with _outside():
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        raise UsageError(f'{option} {address}: {one_line(error)[:200]}') from error
    try:
        yield ray
    finally:
        ray.shutdown()


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
    """Check that something listens at an address, since Ray would wait long for it.

    Raises:
        UsageError: if nothing does, or it is not an address.
    """
    if address == RUNNING:
        return
    client = address.startswith(CLIENT)
    host, colon, port = address.removeprefix(CLIENT).rpartition(':')
    if client and not colon:
        host, port = port, str(CLIENT_PORT)
    if not host or not port.isdecimal() or int(port) > 65535:
        choice = f'{LOCAL}, {RUNNING}, HOST:PORT or {CLIENT}HOST:PORT'
        raise UsageError(f"{option} must be {choice}, got '{address}'")
    try:
        socket.create_connection((host, int(port)), WAIT).close()
    except OSError as error:
        raise UsageError(f'{option} {address}: no cluster answers ({one_line(error)}); ray start starts one') from error
