"""The server that the documentation shows answers with masks, and bounds what it reads."""

import base64
import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import ROOT, blocks_of
from PIL import Image
from runtimes.test_onnx_file import METADATA, model, written

pytest.importorskip('litserve')
pytest.importorskip('onnxruntime')
pytestmark = pytest.mark.extras

#: Seconds for the server to start on a busy machine.
PATIENCE = 120

#: Bytes of a request that the server of the documentation reads.
MOST_BYTES = 20 << 20


@pytest.fixture(scope='module')
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server, with a file that predicts class 0 where a pixel has more than half of red."""
    folder = tmp_path_factory.mktemp('serving')
    written(folder / 'm.onnx', model())
    (block,) = (each for each in blocks_of(ROOT / 'docs' / 'how-to' / 'export.md') if each.title == 'serve.py')
    (folder / 'serve.py').write_text(block.text)
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    command = [sys.executable, 'serve.py', 'm.onnx', str(port)]
    with (folder / 'log').open('w') as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f'http://127.0.0.1:{port}/health', process, folder / 'log')
        yield f'http://127.0.0.1:{port}'
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


def ask(address: str, body: bytes) -> tuple[int, bytes]:
    """Post a body, and return the status and the answer."""
    request = urllib.request.Request(f'{address}/predict', body, {'Content-Type': 'application/json'})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def body_of(data: bytes) -> bytes:
    return json.dumps({'image': base64.b64encode(data).decode()}).encode()


def png_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, 'PNG')
    return file.getvalue()


def test_the_answer_is_a_mask_in_the_colours_of_the_classes(address: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    status, answer = ask(address, body_of(png_of(Image.fromarray(image))))
    assert status == 200
    mask = Image.open(io.BytesIO(answer))
    np.testing.assert_array_equal(np.asarray(mask), (image[..., 0] < 128).astype(np.uint8))
    assert (mask.getpalette() or [])[:6] == [channel for colour in METADATA.palette for channel in colour]


def test_too_much_and_anything_else_is_refused(address: str) -> None:
    large = png_of(Image.new('L', (4097, 4096)))  # 16 million pixels and 4096 in some kilobytes
    cases = {
        body_of(large): (413, b'the image must have at most 16777216 pixels'),
        body_of(b'GIF89a nothing'): (400, b'the image must be a whole JPEG or PNG file'),
        body_of(png_of(Image.new('RGB', (90, 90), 'red'))[:-40]): (400, b'the image must be a whole JPEG or PNG file'),
        b'{"image": 5}': (422, b'Input should be'),
        b'{"image": "no base64"}': (400, b'the image must be a whole JPEG or PNG file'),
        b'{}': (422, b'Field required'),
    }
    for body, (status, text) in cases.items():
        found, answer = ask(address, body)
        assert (found, text in answer) == (status, True), (answer, status)


def test_a_large_request_is_refused_before_it_is_read_whole(address: str) -> None:
    connection = http.client.HTTPConnection(address.removeprefix('http://'), timeout=60)
    with contextlib.closing(connection):
        connection.putrequest('POST', '/predict')
        connection.putheader('Content-Type', 'application/json')
        connection.putheader('Content-Length', str(10**9))
        connection.endheaders()
        connection.send(bytes(MOST_BYTES + 1))  # no more: closing before the rest is read resets the connection
        assert connection.getresponse().status == 413


def test_only_this_machine_is_served(address: str) -> None:
    table = Path('/proc/net/tcp')
    if not table.exists():
        pytest.skip('only Linux lists its sockets in a file')
    port = int(address.rpartition(':')[2])
    listening = [line.split()[1] for line in table.read_text().splitlines() if line.split()[3] == '0A']
    assert [each for each in listening if int(each.partition(':')[2], 16) == port] == [f'0100007F:{port:04X}']
