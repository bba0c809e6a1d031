"""Which image files are read, and decoding errors in one line."""

import io
import os
import runpy
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from data.tiffs import tiff
from PIL import EpsImagePlugin, Image

from seglight.data import SegmentationDataModule, formats
from seglight.data.images import image_size, read_image
from seglight.data.masks import read_mask
from seglight.data.sources import Context, FolderSource, ImageSource
from seglight.errors import DataError

READERS = (read_image, read_mask, image_size)


def test_a_pipe_and_a_device_are_rejected_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.png')
    (tmp_path / 'zero.png').symlink_to('/dev/zero')
    (tmp_path / 'linked.png').symlink_to(tmp_path / 'zero.png')
    for name in ('pipe.png', 'zero.png', 'linked.png'):
        for read in READERS:
            with pytest.raises(DataError, match=rf'{name} cannot be read: it is not a regular file'):
                read(tmp_path / name)


def test_a_link_to_an_image_is_an_image(tmp_path: Path) -> None:
    Image.new('RGB', (5, 4)).save(tmp_path / 'a.png')
    (tmp_path / 'b.png').symlink_to(tmp_path / 'a.png')
    assert read_image(tmp_path / 'b.png').shape == (4, 5, 3)


def test_a_file_that_is_too_large_is_rejected_before_reading(tmp_path: Path) -> None:
    with (tmp_path / 'a.png').open('wb') as file:
        file.truncate(formats.MAX_BYTES + 1)  # takes no room
    for read in READERS:
        with pytest.raises(
            DataError, match=r'a\.png cannot be read: it has 4294967297 bytes, more than the maximum of'
        ):
            read(tmp_path / 'a.png')


@pytest.mark.parametrize('error', [struct.error('x'), ValueError('x'), MemoryError(), SystemError('x'), zlib.error('x'),
                                   OverflowError('x'), cv2.error('x'), SyntaxError('x'), KeyError('x'), RecursionError()])  # fmt: skip
def test_whatever_a_decoder_raises_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    for suffix in ('png', 'webp', 'tif', 'bmp'):
        Image.new('L', (5, 4)).resize((50, 40)).save(tmp_path / f'a.{suffix}')
    for name in ('open', 'fromarray'):
        monkeypatch.setattr(Image, name, fail)
    monkeypatch.setattr(cv2, 'imdecode', fail)
    monkeypatch.setattr('seglight.data.masks.decode_png', fail)
    for suffix in ('png', 'webp', 'tif', 'bmp'):
        for read in (read_image, read_mask):
            with pytest.raises(DataError, match=rf'a\.{suffix} cannot be read: ') as raised:
                read(tmp_path / f'a.{suffix}')
            assert '\n' not in str(raised.value)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))


@pytest.mark.parametrize('name', ['zTXt', 'iCCP', 'iTXt'])
def test_a_chunk_that_expands_is_not_inflated(name: str, tmp_path: Path) -> None:
    bomb = zlib.compress(bytes(100_000_000), 9)
    body = {'zTXt': b'Comment\0\0', 'iCCP': b'icc\0\0', 'iTXt': b'Comment\0\1\0\0\0'}[name] + bomb
    header = chunk(b'IHDR', struct.pack('>II5B', 8, 8, 8, 0, 0, 0, 0))
    pixels = chunk(b'IDAT', zlib.compress(bytes([4, *range(8)]) * 8))  # a filter that Pillow has to undo
    data = b'\x89PNG\r\n\x1a\n' + header + chunk(name.encode(), body) + pixels + chunk(b'IEND', b'')
    (tmp_path / 'a.png').write_bytes(data)
    for read in (image_size, read_mask):
        with pytest.raises(DataError, match=r'a\.png cannot be read: .*Decompressed data too large'):
            read(tmp_path / 'a.png')


def test_postscript_runs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError('Ghostscript was called')

    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', run)
    text = b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n'
    (tmp_path / 'a.png').write_bytes(text)
    with pytest.raises(AssertionError, match='Ghostscript'):
        Image.init()
        Image.open(tmp_path / 'a.png').load()
    for read in READERS:
        with pytest.raises(DataError, match='it is damaged or not an image'):
            read(tmp_path / 'a.png')


def encoded(suffix: str, image: np.ndarray) -> bytes:
    """A file of a format that OpenCV or Pillow writes."""
    kind = {'.jfif': '.jpg', '.jpe': '.jpg', '.dib': '.bmp', '.pnm': '.ppm', '.j2k': '.jp2'}.get(suffix, suffix)
    if suffix in ('.pbm', '.pgm', '.gif', '.avif'):
        buffer = io.BytesIO()
        mode = {'.pbm': '1', '.pgm': 'L'}.get(suffix, 'RGB')
        Image.fromarray(image).convert(mode).save(buffer, {'.gif': 'GIF', '.avif': 'AVIF'}.get(suffix, 'PPM'))
        return buffer.getvalue()
    return cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


@pytest.mark.parametrize('suffix', sorted(formats.IMAGE_SUFFIXES))
def test_every_suffix_is_found_and_read(suffix: str, tmp_path: Path) -> None:
    image = np.full((40, 56, 3), (255, 255, 255), np.uint8)
    image[:, 28:] = 0
    folder = tmp_path / 'images'
    folder.mkdir()
    for name in (f'a{suffix}', f'b{suffix.upper()}'):
        (folder / name).write_bytes(encoded(suffix, image))
    context = Context(['a', 'b'], root=tmp_path)
    for source in (
        FolderSource('images'),
        ImageSource('images'),
        ImageSource(f'images/a{suffix}'),
        ImageSource('images/*'),
    ):
        samples = source.samples(context)
        assert samples[0].name.endswith('a')
        found = read_image(samples[0].image).astype(int)
        assert np.abs(found - image).max() < 40
        assert image_size(samples[0].image) == (40, 56)


@pytest.mark.parametrize('suffix', ['.png', '.tif', '.bmp', '.gif', '.webp', '.jp2', '.ppm', '.jpg'])
def test_damage_at_random_is_never_another_error(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = encoded(suffix, rng.integers(0, 256, (48, 64, 3)).astype(np.uint8))
    path = tmp_path / f'a{suffix}'
    for _ in range(40):
        data = bytearray(whole)
        places = rng.integers(0, min(len(data), 400), rng.integers(1, 6))
        data[:] = data[: rng.integers(8, len(data))] if rng.random() < 0.3 else data
        for place in places:
            data[min(place, len(data) - 1)] = rng.integers(0, 256)
        path.write_bytes(data)
        for read in READERS:
            with suppress(DataError):
                read(path)


@pytest.mark.parametrize('workers', [0, 2])
def test_skip_continues_whatever_is_wrong(
    workers: int, own_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = own_data / 'img_dir/train/0003.jpg'
    monkeypatch.setattr('seglight.data.datamodule.quick_faults', lambda *_: {})  # as if damaged afterwards
    module = SegmentationDataModule(
        [str(label) for label in range(11)], root=str(own_data), on_bad_sample='skip', batch_size=4, num_workers=workers
    )
    module.setup('fit')
    damaged.write_bytes(tiff(np.zeros((4, 4, 6), np.uint8)))
    (own_data / 'img_dir/train/0005.jpg').unlink()
    os.mkfifo(own_data / 'img_dir/train/0005.jpg')
    assert len(list(module.train_dataloader())) == 2
    message = capfd.readouterr().err
    assert '0003.jpg cannot be read: it has 6 bands' in message
    assert '0005.jpg cannot be read: it is not a regular file' in message
    assert 'Traceback' not in message


def test_a_system_whose_pipes_do_not_wait_reads_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'a.png').write_bytes(b'\x89PNG\r\n')
    monkeypatch.delattr(os, 'O_NONBLOCK')  # which Windows lacks
    with runpy.run_path(formats.__file__)['open_regular'](tmp_path / 'a.png') as file:
        assert file.read() == b'\x89PNG\r\n'
