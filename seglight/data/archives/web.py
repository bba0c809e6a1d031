"""Requests to web servers: ranges of a file, bounded in size and time, and no redirect that leads nearer."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import ClientSession, TraceRequestRedirectParams

NO_RANGES = 'is on a server that does not send parts of files; download it, or use another server'


class RefusedError(Exception):
    """An answer that is refused; the text continues a sentence that begins with the address."""


def web_files(protocol: str, silence: float, total: float) -> Any:
    """Return fsspec's file system for http or https.

    Args:
        protocol: one of the two.
        silence: seconds without a byte after which a request ends.
        total: seconds after which any request ends, unless it has a limit of its own.

    Raises:
        ImportError: if fsspec or aiohttp is missing.
    """
    import fsspec
    from aiohttp import ClientTimeout

    limits = ClientTimeout(total=total, sock_connect=silence, sock_read=silence)
    return fsspec.filesystem(protocol, get_client=_client, client_kwargs={'timeout': limits, 'trust_env': True})


def read_range(
    system: Any, address: str, start: int, end: int, headers: Mapping[str, str], silence: float, total: float
) -> bytes:
    """Return the bytes of a range, or fewer; `total` is the limit of this request in seconds.

    fsspec's own files keep whatever body a server sends, of any length, and inflate it.

    Raises:
        RefusedError: if the answer is no range, compressed or longer, or a redirect that is not followed.
        aiohttp.ClientError: if there is none.
        ConnectionError: if it stops in the middle.
        asyncio.TimeoutError: if it does not begin in time.
    """
    import fsspec.asyn
    from aiohttp import ClientTimeout

    options = {
        **system.kwargs,
        'headers': {
            **system.kwargs.get('headers', {}),
            **headers,
            'Accept-Encoding': 'identity',
            'Range': f'bytes={start}-{end - 1}',
        },
        'timeout': ClientTimeout(total=total, sock_connect=silence, sock_read=silence),
    }
    data: bytes = fsspec.asyn.sync(system.loop, _read_range, system, address, start, end - start, options)
    return data


async def _read_range(system: Any, address: str, start: int, size: int, options: dict[str, Any]) -> bytes:
    """Request a range of `size` bytes, and read hardly more than these."""
    session: ClientSession = await system.set_session()
    data = bytearray()
    try:
        async with session.get(system.encode_url(address), **options) as answer:
            answer.raise_for_status()
            if answer.status != 206 or not answer.headers.get('Content-Range', '').startswith(f'bytes {start}-'):
                raise RefusedError(NO_RANGES)
            if answer.headers.get('Content-Encoding', 'identity') != 'identity':
                raise RefusedError('is on a server that compresses parts of files; download it, or use another server')
            async for part in answer.content.iter_any():
                data += part
                if len(data) > size:
                    raise RefusedError('is on a server that sends more than was asked for; use another server')
    except asyncio.TimeoutError:
        if data:
            raise ConnectionError(f'only {len(data)} of {size} bytes came in time') from None
        raise
    return bytes(data)


async def _client(**options: Any) -> ClientSession:
    """Return a session that checks each redirect before it follows it."""
    from aiohttp import ClientSession, TraceConfig

    trace = TraceConfig()
    trace.on_request_redirect.append(_check_redirect)
    return ClientSession(trace_configs=[trace], **options)


async def _check_redirect(_session: Any, _context: Any, redirect: TraceRequestRedirectParams) -> None:
    """Refuse a redirect from https to http, or to a host that is nearer to this machine.

    Raises:
        RefusedError: if it is one.
    """
    from yarl import URL

    source, headers = redirect.response.url, redirect.response.headers
    target = source.join(URL(headers.get('Location') or headers.get('URI') or ''))
    cause = ''
    if source.scheme == 'https' and target.scheme != 'https':
        cause = 'without encryption'
    elif source.host != target.host and await _distance(target.host) < await _distance(source.host):
        cause = 'in the local network or on this machine'
    if cause:
        redirect.response.close()
        place = f'{target.scheme}://{target.host}'
        raise RefusedError(f'leads to {place}, {cause}, which is not followed; correct the address')


async def _distance(host: str | None) -> int:
    """Return how far a host is: 0 for this machine and its link, 1 for the local network, 2 for the internet."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return 2  # only a proxy may know it
    return min(distance(str(address[0])) for *_, address in found)


def distance(address: str) -> int:
    """Return how far an IP address is, as `_distance` counts."""
    parsed = ipaddress.ip_address(address.partition('%')[0])
    parsed = getattr(parsed, 'ipv4_mapped', None) or parsed
    if parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified:
        return 0
    return 2 if parsed.is_global else 1
