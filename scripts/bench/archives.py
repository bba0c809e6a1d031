"""Compare reading images and masks as files, from zip and tar archives, from a web server, and from LitData's chunks.

    python scripts/bench/archives.py [--images 400] [--side 512] [--rounds 4]

Generates images with masks, packs them, and reads all of them in a random order, alternating the candidates within each
round. `bytes` reads the files without decoding, `decoded` returns the image and its labels. Shown are the medians of
the processor time and of the time on the clock for one sample, and of the pairs with files. The web server is a process
on this machine, whose processor time does not count; `http` asks it for each file, `http, cached` has all files in its
cache after the first round, which is not counted. LitData reads the same bytes from local chunks and is decoded by the
same functions; it takes part where it is installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from seglight.data import SegmentationDataModule
from seglight.data.demo import generate
from seglight.data.images import read_image
from seglight.data.jpeg import decode_jpeg
from seglight.data.places import read_bytes
from seglight.data.png import decode_png
from seglight.data.sources import ArchiveSource, Context, FolderSource, Sample
from seglight.tools.pack import pack

sys.path.append(str(Path(__file__).parents[2] / 'tests'))

from data.archives.range_server import serving

CLASSES = [str(index) for index in range(11)]
Reader = Callable[[int], object]


def readers_of(samples: list[Sample]) -> dict[str, Reader]:
    """Return how to read the bytes of a sample, and how to decode it."""

    def undecoded(index: int) -> object:
        mask = samples[index].mask
        return read_bytes(samples[index].image), mask and read_bytes(mask.path)

    def decoded(index: int) -> object:
        mask = samples[index].mask
        return read_image(samples[index].image), mask and mask.read()

    return {'bytes': undecoded, 'decoded': decoded}


def _content(samples: list[Sample], index: int) -> dict[str, bytes]:
    mask = samples[index].mask
    return {'image': read_bytes(samples[index].image), 'mask': read_bytes(mask.path) if mask else b''}


def litdata_readers(samples: list[Sample], folder: Path, chunk: str) -> dict[str, Reader]:
    """Return the same for LitData with chunks of at most some bytes; none if it is not installed."""
    try:
        from litdata import StreamingDataset, optimize  # type: ignore[import-not-found]
    except ImportError:
        return {}

    optimize(partial(_content, samples), list(range(len(samples))), str(folder), chunk_bytes=chunk, num_workers=1)
    stored: Any = StreamingDataset(str(folder))

    def decoded(index: int) -> object:
        found = stored[index]
        return decode_jpeg(bytes(found['image'])), decode_png(bytes(found['mask']))

    return {'bytes': lambda index: stored[index], 'decoded': decoded}


def _serve(folder: Path, sender: Any) -> None:
    with serving(folder) as server:
        sender.send(server.address)
        sender.recv()  # until the other end is closed


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback in a process of its own; yield its address."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context('spawn').Process(target=_serve, args=(folder, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def candidates(root: Path, images: int, side: int, address: str) -> dict[str, dict[str, Reader]]:
    """Write the data in each form, and return the readers of each."""
    generate(root, counts={'train': images, 'val': 1, 'test': 1}, size=side)
    module = SegmentationDataModule(CLASSES, root=str(root))
    pack(module, root / 'packed', 1024)
    with tarfile.open(root / 'all.tar', 'w') as archive:
        for folder in ('img_dir', 'ann_dir'):
            archive.add(root / folder / 'train', folder)
    context = Context(CLASSES, root=root)
    files = list(FolderSource('img_dir/train', 'ann_dir/train').samples(context))
    by_name = {
        name: {each.name: each for each in ArchiveSource(path).samples(context)}
        for name, path in (('zip', 'packed/train'), ('tar', 'all.tar'))
    }
    for name, size in (('http', 0), ('http, cached', 10240)):
        # Archives of the same bytes at two addresses, since an address has one cache.
        shutil.copytree(root / 'packed/train', root / f'served{size}', copy_function=os.link)
        served = [f'{address}/served{size}/{path.name}' for path in sorted((root / 'packed/train').glob('*.zip'))]
        by_name[name] = {each.name: each for each in ArchiveSource(served, cache_size=size).samples(context)}
    found = {name: [of[each.name] for each in files] for name, of in by_name.items()}
    return {
        **{name: readers_of(samples) for name, samples in {'files': files, **found}.items()},
        **{
            f'LitData, chunks of {size}': litdata_readers(found['zip'], root / f'litdata{size}', size)
            for size in ('64MB', '1MB')
        },
    }


def measured(readers: dict[tuple[str, str], Reader], images: int, rounds: int) -> dict[tuple[str, str], list[Any]]:
    """Return the processor time and the time on the clock for one sample, of each reader and round."""
    times: dict[tuple[str, str], list[Any]] = {key: [] for key in readers}
    order = list(range(images))
    for turn in range(rounds + 1):  # the first one warms up
        random.Random(turn).shuffle(order)
        for key, read in readers.items():
            begin = time.process_time(), time.perf_counter()
            for index in order:
                read(index)
            if turn:
                ends = time.process_time(), time.perf_counter()
                times[key].append([(end - start) / images for start, end in zip(begin, ends, strict=True)])
    return times


def print_table(times: dict[tuple[str, str], list[Any]], what: str) -> None:
    """Print the medians of all candidates, and of the pairs with files."""
    print(f'\n| {what} | processor, µs | times files | clock, µs | times files |')
    print('|---|---:|---:|---:|---:|')
    for name in dict.fromkeys(name for name, _ in times):
        row = []
        for kind in (0, 1):
            own, files = ([each[kind] for each in times[of, what]] for of in (name, 'files'))
            ratio = statistics.median(one / other for one, other in zip(own, files, strict=True))
            row += [f'{statistics.median(own) * 1e6:.0f}', f'{ratio:.2f}']
        print(f'| {name} | {" | ".join(row)} |')


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=400)
    parser.add_argument('--side', type=int, default=512)
    parser.add_argument('--rounds', type=int, default=4)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    os.environ['no_proxy'] = '127.0.0.1'
    with tempfile.TemporaryDirectory() as folder, web_server(Path(folder)) as address:
        os.environ['XDG_CACHE_HOME'] = f'{folder}/cache'
        readers = {
            (name, what): read
            for name, each in candidates(Path(folder), arguments.images, arguments.side, address).items()
            for what, read in each.items()
        }
        times = measured(readers, arguments.images, arguments.rounds)
    for what in ('bytes', 'decoded'):
        print_table(times, what)


if __name__ == '__main__':
    main()
