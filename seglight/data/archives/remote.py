"""Archives at an address, of which parts are read by requests for ranges of bytes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from seglight.data.archives.addresses import PROTOCOLS, check_address, without_secrets
from seglight.data.archives.web import NO_RANGES, RefusedError, read_range, web_files
from seglight.data.formats import UnreadableError
from seglight.errors import SetupError, UsageError, one_line

TIMEOUT = 30.0  #: seconds without a byte from a web server
SLOWEST = 50_000  #: bytes per second; a request that is slower for long ends
PAUSES = (0.5, 2.0)  #: seconds before a request is tried again

#: Seconds after which a process looks again whether an archive has changed, as not every server tells by itself.
CHECK_EVERY = 60.0

#: What tells the versions of a file apart, as fsspec's file systems name it.
_TAGS = ('ETag', 'etag', 'generation', 'blob_id')
_DATES = ('Last-Modified', 'LastModified', 'last_modified', 'updated', 'mtime', 'created')

T = TypeVar('T')


class Remote:
    """A file at an address.

    Args:
        address: its address.
        size: its size in bytes.
        version: a text that changes with its content; empty if the server gives none.
    """

    def __init__(self, address: str, size: int, version: str) -> None:
        self.address = address
        self.size = size
        self.version = version
        self._checked = time.monotonic()

    @property
    def status(self) -> str:
        """What its list belongs to."""
        return f'{self.size} {self.version}'

    @property
    def time(self) -> int:
        """A number that changes with its version, in place of the time of its last change."""
        return int.from_bytes(hashlib.blake2b(self.status.encode(), digest_size=7).digest(), 'big')

    def open(self) -> Ranges:
        """Return it as a file, each reading of which is one request."""
        return Ranges(self)

    def fetch(self, start: int, end: int) -> bytes:
        """Return the bytes of a range within the file.

        Raises:
            UnreadableError: if the server does not send them, or the file has changed.
        """
        if time.monotonic() - self._checked > CHECK_EVERY:
            self.check()
        return _tried(self.address, lambda: _range(self, start, end))

    def check(self) -> None:
        """Check that the file has not changed.

        Raises:
            UnreadableError: if it has changed, or cannot be reached.
        """
        if _described(self.address) != (self.size, self.version):
            raise UnreadableError(_changed(self.address))
        self._checked = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs, where the clock is another one."""
        return {**self.__dict__, '_checked': float('-inf')}


class Ranges(io.RawIOBase):
    """A remote file, each reading of which is one request."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position and return it."""
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.remote.size}[whence]
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # any buffer
        """Read into a buffer and return the number of bytes."""
        end = min(self._position + len(buffer), self.remote.size)
        if end <= self._position:
            return 0
        data = self.remote.fetch(self._position, end)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


def connect(address: str) -> Remote:
    """Return the file at an address.

    Raises:
        SetupError: if a package for it is missing.
        UnreadableError: if there is none, or it cannot be reached.
    """
    return Remote(address, *_described(address))


def listed(address: str, suffixes: tuple[str, ...]) -> list[str]:
    """Return the addresses of the files directly in a folder that end like this, sorted, without hidden ones.

    Raises:
        SetupError: if a package for it is missing.
        UnreadableError: if it cannot be read, or contains a file whose address a config may not name.
    """
    protocol = address.partition('://')[0]

    def request() -> list[str]:
        system = _filesystem(address)
        names: list[str] = system.ls(address, detail=False, **_limits(system))
        return names

    names = _tried(address, request)
    files = [f'{protocol}://{name.lstrip("/")}' for name in names if name.lower().endswith(suffixes)]
    files = sorted(file for file in files if not file.rpartition('/')[2].startswith('.'))
    try:
        for file in files:
            check_address(file)
    except UsageError as error:
        raise UnreadableError(f'{address} lists a file that is not opened: {error}') from None
    return files


def _filesystem(address: str) -> Any:
    """Return fsspec's file system for an address; fsspec makes one for each process, since they do not survive a fork.

    Raises:
        SetupError: if a package for it is missing.
    """
    protocol = address.partition('://')[0]
    try:
        if protocol in ('http', 'https'):
            return web_files(protocol, TIMEOUT, _seconds())
        import fsspec

        return fsspec.filesystem(protocol)
    except ImportError as error:
        package = PROTOCOLS[protocol]
        raise SetupError(f'{address} needs a package that is not installed: pip install {package}') from error


def _seconds(size: int = 0) -> float:
    """Return the seconds after which a request for some bytes ends."""
    return 2 * TIMEOUT + size / SLOWEST


def _limits(system: Any, size: int = 0) -> dict[str, float]:
    """Return the time limit that a file system takes with each request; hf has one of its own."""
    return {'timeout': _seconds(size)} if system.async_impl else {}


def _described(address: str) -> tuple[int, str]:
    """Return the size of a file, and a text that changes with its content."""

    def request() -> Mapping[str, Any]:
        system = _filesystem(address)
        system.invalidate_cache()
        found: Mapping[str, Any] = system.info(address, **_limits(system))
        return found

    info = _tried(address, request)
    if info.get('type') == 'directory':
        raise UnreadableError(f'{address} is a folder; name an archive')
    if info.get('partial') is False or info.get('size') is None:
        raise UnreadableError(f'{address} {NO_RANGES}')
    return int(info['size']), ' '.join(f'{name}={info[name]}' for name in (*_TAGS, *_DATES) if info.get(name))


def _range(remote: Remote, start: int, end: int) -> bytes:
    """Request a range of bytes once."""
    system = _filesystem(remote.address)
    if remote.address.startswith('http'):
        tag = re.search(r'\bETag=("[^"]*")', remote.version)
        headers = {'If-Match': tag.group(1)} if tag else {}
        data = read_range(system, remote.address, start, end, headers, TIMEOUT, _seconds(end - start))
    else:
        data = system.cat_file(remote.address, start=start, end=end, **_limits(system, end - start))
    if len(data) != end - start:
        raise ConnectionError(f'{len(data)} of {end - start} bytes')
    return bytes(data)


def _tried(address: str, request: Callable[[], T]) -> T:
    """Return the result of a request, which is tried again after a failure that may pass and was quick.

    Raises:
        SetupError: if a package is missing.
        UnreadableError: with the address and the cause.
    """
    begun = time.monotonic()
    for pause in (*PAUSES, None):
        try:
            return request()
        except SetupError:
            raise
        except Exception as error:  # the file systems raise what their libraries do
            text, may_pass = _cause(error)
            if pause is None or not may_pass or time.monotonic() - begun > 2 * TIMEOUT:
                raise UnreadableError(text.format(address)) from None  # the cause may contain a signed address
            time.sleep(pause)
    raise AssertionError


def _cause(error: Exception) -> tuple[str, bool]:
    """Return why a request failed, with a place for the address, and whether the next one may succeed."""
    cause = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ else error  # aiohttp's
    status = getattr(cause, 'status', None)
    if isinstance(cause, RefusedError):
        return f'{{}} {_escaped(str(cause))}', False
    if status in (412, 416):
        return _changed('{}'), False
    if status in (404, 410) or isinstance(cause, FileNotFoundError):
        return '{} does not exist; correct the address', False
    if status in (401, 403) or isinstance(cause, PermissionError):
        return '{} may not be read; put credentials into ~/.netrc or the environment', False
    if isinstance(status, int) and status >= 400:
        return f'{{}} was answered with status {status}; try again later', status >= 500 or status in (408, 425, 429)
    if isinstance(cause, (TimeoutError, asyncio.TimeoutError)):
        return f'{{}} did not answer within {TIMEOUT:g} s; try again later', True
    text = _escaped(without_secrets(one_line(cause or error))[:200])
    return f'{{}} cannot be read ({type(cause).__name__}{": " * bool(text)}{text}); try again later', True


def _changed(address: str) -> str:
    return f'{address} has changed since its list was read; start again'


def _escaped(text: str) -> str:
    return text.replace('{', '{{').replace('}', '}}')
