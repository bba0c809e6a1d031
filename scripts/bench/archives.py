"""Compare reading images and masks as files, from zip and tar archives, and from LitData's chunks.

    python scripts/bench/archives.py [--images 400] [--side 512] [--rounds 4]

Generates images with masks, packs them, and reads all of them in a random order, alternating the candidates within each
round. `bytes` reads the files without decoding, `decoded` returns the image and its labels. Shown are the medians of
the processor time for one sample, and of the pairs with files. LitData reads the same bytes and is decoded by the same
functions; it takes part where it is installed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable
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


def litdata_readers(samples: list[Sample], folder: Path) -> dict[str, Reader]:
    """Return the same for LitData; none if it is not installed."""
    try:
        from litdata import StreamingDataset, optimize  # type: ignore[import-not-found]
    except ImportError:
        return {}

    def content(index: int) -> dict[str, bytes]:
        mask = samples[index].mask
        return {'image': read_bytes(samples[index].image), 'mask': read_bytes(mask.path) if mask else b''}

    optimize(content, list(range(len(samples))), str(folder), chunk_bytes='64MB', num_workers=1)
    stored: Any = StreamingDataset(str(folder))

    def decoded(index: int) -> object:
        found = stored[index]
        return decode_jpeg(found['image']), decode_png(found['mask'])

    return {'bytes': lambda index: stored[index], 'decoded': decoded}


def candidates(root: Path, images: int, side: int) -> dict[str, dict[str, Reader]]:
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
    found = {name: [of[each.name] for each in files] for name, of in by_name.items()}
    return {
        **{name: readers_of(samples) for name, samples in {'files': files, **found}.items()},
        'LitData': litdata_readers(found['zip'], root / 'litdata'),
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=400)
    parser.add_argument('--side', type=int, default=512)
    parser.add_argument('--rounds', type=int, default=4)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        readers = {
            (name, what): read
            for name, each in candidates(Path(folder), arguments.images, arguments.side).items()
            for what, read in each.items()
        }
        times: dict[tuple[str, str], list[float]] = {key: [] for key in readers}
        order = list(range(arguments.images))
        for turn in range(arguments.rounds + 1):  # the first one warms up
            random.Random(turn).shuffle(order)
            for key, read in readers.items():
                begin = time.process_time()
                for index in order:
                    read(index)
                if turn:
                    times[key].append((time.process_time() - begin) / len(order))
    print('| | bytes, µs | times files | decoded, µs | times files |')
    print('|---|---:|---:|---:|---:|')
    for name in dict.fromkeys(name for name, _ in times):
        row = []
        for what in ('bytes', 'decoded'):
            own, files = times[name, what], times['files', what]
            ratio = statistics.median(one / other for one, other in zip(own, files, strict=True))
            row += [f'{statistics.median(own) * 1e6:.0f}', f'{ratio:.2f}']
        print(f'| {name} | {" | ".join(row)} |')


if __name__ == '__main__':
    main()
