"""A web server on loopback that sends ranges of files, and can misbehave."""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class RangeServer(ThreadingHTTPServer):
    """Serves the files of a folder.

    Attributes:
        requests: the method, the name and the range of each request.
        failures: how many of the next requests for a range get the status `status`.
        refused: the beginning of a range that gets it every time.
        ranges: whether ranges are sent; otherwise the whole file is.
        tags: whether files have an ETag; and `dates`, whether they have a date.
        delay: seconds before each answer.
        cut: bytes that are missing from each range.
        extra: bytes that follow each range; and `sent`, how many of all bytes of answers were taken.
        pause: seconds between two bytes of a range.
        compressed: whether ranges are sent with gzip.
        redirects: places that are answered with another address; as a proxy, addresses too.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(('127.0.0.1', 0), _Handler)
        self.folder = folder
        self.requests: list[tuple[str, str, str]] = []
        self.failures, self.status, self.refused = 0, 503, 'none'
        self.ranges, self.tags, self.dates = True, True, False
        self.delay, self.cut = 0.0, 0
        self.extra, self.sent, self.pause, self.compressed = 0, 0, 0.0, False
        self.redirects: dict[str, str] = {}

    @property
    def address(self) -> str:
        return f'http://127.0.0.1:{self.server_address[1]}'

    def handle_error(self, *arguments: Any) -> None:
        """Keep quiet about clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and bytes leave together
    server: RangeServer

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        server, wanted = self.server, self.headers.get('Range', '')
        server.requests.append((self.command, self.path, wanted))
        time.sleep(server.delay)
        path = server.folder / self.path.lstrip('/')
        if self.path in server.redirects:
            return self._send(302, headers={'Location': server.redirects[self.path]})
        if wanted and server.failures:
            server.failures -= 1
            return self._send(server.status)
        if wanted.startswith(server.refused):
            return self._send(server.status)
        if not path.is_file():
            return self._send(404)
        status = path.stat()
        tag = f'"{status.st_size}-{status.st_mtime_ns}"'
        if server.tags and self.headers.get('If-Match', tag) != tag:
            return self._send(412)
        headers = {'ETag': tag} if server.tags else {}
        headers |= {'Last-Modified': formatdate(status.st_mtime, usegmt=True)} if server.dates else {}
        found = re.fullmatch(r'bytes=(\d+)-(\d+)', wanted)
        if not found or not server.ranges:
            return self._send(200, path.read_bytes(), body, headers)
        first, last = map(int, found.groups())
        with path.open('rb') as file:
            file.seek(first)
            part = file.read(last + 1 - first)
        headers['Content-Range'] = f'bytes {first}-{first + len(part) - 1}/{status.st_size}'
        part = part[: len(part) - server.cut]
        if server.compressed:
            part, headers['Content-Encoding'] = gzip.compress(part), 'gzip'
        return self._send(206, part, body, headers, server.extra)

    def _send(
        self, status: int, data: bytes = b'', body: bool = True, headers: dict[str, str] | None = None, extra: int = 0
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), 'Content-Length': str(len(data) + extra)}.items():
            self.send_header(name, value)
        self.end_headers()
        if body and self.server.pause and status == 206:
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(self.server.pause)
        elif body:
            self.wfile.write(data)
            for _ in range(extra >> 16):
                self.server.sent += self.wfile.write(bytes(1 << 16))
        self.wfile.flush()


@contextmanager
def serving(folder: Path) -> Iterator[RangeServer]:
    """Serve a folder."""
    with RangeServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
