"""Measure how long large lists of data take before the first step, and the memory that each process holds for them.

    python scripts/bench/data_lists.py [--images 100000] [--kind coco|folder|yolo|labelme] [--folder FOLDER]

Generates small images once, in a folder that is kept if it is given: each has its own bytes, and its annotations are
in one COCO file (eight polygons each), or in one mask, YOLO or LabelMe file each. Each start is a process of its own
and the cache of the lists is empty before the first. Shown are the seconds of `setup('fit')`, by the clock and of the
processor, and memory above that of a process that has imported everything: at its peak, after the set-up, and the
private memory of each of two loader processes after they have loaded batches for some seconds, above that for a
thousand images.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BASES = 500  #: images that are encoded; all others are copies of them with a comment of their own
OBJECTS = 8
SIDE = 64
WORKERS = 2
CLASSES = ['ground', *(f'thing{index}' for index in range(20))]


def generate(root: Path, images: int, kind: str) -> None:
    """Write images with a comment of their own at the end, where photographs differ, too, and their annotations."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    sizes = rng.integers(8, SIDE, BASES)
    bases = [
        cv2.imencode('.jpg', cv2.resize(rng.integers(0, 256, (size, size, 3), dtype=np.uint8), (SIDE, SIDE)))[1]
        for size in sizes
    ]
    masks = [cv2.imencode('.png', rng.integers(0, 21, (SIDE, SIDE), dtype=np.uint8))[1].tobytes() for _ in range(8)]
    for split, count in (('train', images), ('val', max(images // 20, 2))):
        for folder in ('img_dir', 'ann_dir')[: 1 if kind == 'coco' else 2]:
            for part in range(0, count, 10_000):
                (root / folder / split / f'{part // 10_000:03}').mkdir(parents=True)
        for index in range(count):
            name = f'{split}/{index // 10_000:03}/{index:07}'
            base = bases[index % BASES].tobytes()
            comment = b' ' * (index % 97) + f'{split}{index}'.encode()
            data = base[:-2] + b'\xff\xfe' + (len(comment) + 2).to_bytes(2, 'big') + comment + base[-2:]
            (root / f'img_dir/{name}.jpg').write_bytes(data)
            if kind == 'folder':
                (root / f'ann_dir/{name}.png').write_bytes(masks[index % 8])
            elif kind in ('yolo', 'labelme'):
                path = root / f'ann_dir/{name}{".txt" if kind == "yolo" else ".json"}'
                path.write_text(yolo_text(index) if kind == 'yolo' else labelme_text(index, f'{index:07}.jpg'))
        if kind == 'coco':
            _write_coco(root / f'{split}.json', count)


def polygon(index: int, number: int) -> tuple[int, list[tuple[float, float]]]:
    """Return the class and the twelve points of a polygon of an image."""
    left, top = (index * 7 + number * 5) % 40, (index * 3 + number * 11) % 40
    ring = [(0, 4), (1, 2), (2.5, 1), (4, 0), (8, 0), (12, 1), (15, 3), (16, 8), (14, 13), (8, 15), (3, 12), (1, 8)]
    return (index + number) % 20 + 1, [(left + x + 0.25, top + y + 0.5) for x, y in ring]


def yolo_text(index: int) -> str:
    """Return the YOLO file of an image."""
    polygons = (polygon(index, number) for number in range(OBJECTS))
    return ''.join(
        f'{kind} {" ".join(f"{v / SIDE:.6f}" for point in ring for v in point)}\n' for kind, ring in polygons
    )


def labelme_text(index: int, name: str) -> str:
    """Return the LabelMe file of an image."""
    polygons = (polygon(index, number) for number in range(OBJECTS))
    shapes = [{'label': CLASSES[kind], 'points': ring, 'shape_type': 'polygon'} for kind, ring in polygons]
    return json.dumps({'shapes': shapes, 'imagePath': name, 'imageHeight': SIDE, 'imageWidth': SIDE})


def _write_coco(path: Path, count: int) -> None:
    """Write a COCO file as the usual tools do: images, annotations with a polygon of twelve points, categories."""
    with path.open('w') as file:
        file.write('{"info": {"description": "generated"}, "images": [')
        for index in range(count):
            name = f'{index // 10_000:03}/{index:07}.jpg'
            entry = {'id': index + 1, 'file_name': name, 'height': SIDE, 'width': SIDE, 'license': 1}
            file.write(', ' * (index > 0) + json.dumps(entry))
        file.write('], "annotations": [')
        for index in range(count):
            for number in range(OBJECTS):
                category, points = polygon(index, number)
                left, top = int(points[0][0]), int(points[3][1])
                entry = {
                    'id': index * OBJECTS + number + 1,
                    'image_id': index + 1,
                    'category_id': category,
                    'segmentation': [[value for point in points for value in point]],
                    'area': 180.5,
                    'bbox': [left, top, 16, 15],
                    'iscrowd': 0,
                }
                file.write(', ' * (index + number > 0) + json.dumps(entry))
        categories = [{'id': index, 'name': name} for index, name in enumerate(CLASSES) if index]
        file.write(f'], "categories": {json.dumps(categories)}}}')


def memory(pid: int | str, name: str) -> float:
    """Return a number of /proc/PID/smaps_rollup in MiB, the sum if several lines match."""
    text = Path(f'/proc/{pid}/smaps_rollup').read_text()
    return sum(int(size) for size in re.findall(rf'^{name}:\s+(\d+)', text, re.MULTILINE)) / 1024


def peak() -> float:
    """Return the highest resident size of this process in MiB."""
    return int(re.findall(r'VmHWM:\s+(\d+)', Path('/proc/self/status').read_text())[0]) / 1024


def source(kind: str, name: str) -> str | dict[str, Any]:
    """Return the source of a split in a config."""
    images, annotations = f'img_dir/{name}', f'ann_dir/{name}'
    sources: dict[str, str | dict[str, Any]] = {
        'folder': name,
        'coco': {'type': 'CocoSource', 'ann_file': f'{name}.json', 'img_dir': images},
        'yolo': {'type': 'YoloSource', 'img_dir': images, 'label_dir': annotations, 'names': CLASSES},
        'labelme': {'type': 'LabelMeSource', 'ann_dir': annotations, 'img_dir': images},
    }
    return sources[kind]


def start(root: Path, kind: str) -> None:
    """Set up the data as `fit` does, load batches, and print the figures as JSON."""
    from seglight.data import SegmentationDataModule

    # isort: split
    import sklearn.model_selection  # noqa: F401  (what the set-up imports late)
    import torch

    from seglight.memory import keep_freed_memory

    keep_freed_memory()  # as the command line does
    split: dict[str, Any] = {name: source(kind, name) for name in ('train', 'val')}
    before = memory('self', 'Rss')
    data = SegmentationDataModule(CLASSES, root=str(root), num_workers=WORKERS, batch_size=8, **split)
    begin, processor = time.perf_counter(), time.process_time()
    data.setup('fit')
    found = {'seconds': time.perf_counter() - begin, 'processor': time.process_time() - processor}
    begin = time.perf_counter()
    records = sum(map(len, data.records().values()))
    found |= {'lists': time.perf_counter() - begin, 'characters': records}
    found |= {'peak': peak() - before, 'resident': memory('self', 'Rss') - before}
    found |= {'anonymous': memory('self', 'Anonymous')}
    batches = iter(data.train_dataloader())
    found |= {'first batch': time.perf_counter() - begin}
    total = torch.zeros((), dtype=torch.int64)
    for _ in range(100):
        total += next(batches)['mask'].sum()
    workers: list[object] = batches._workers  # type: ignore[attr-defined]
    found['worker'] = max(memory(each.pid, 'Private_(?:Clean|Dirty)') for each in workers)  # type: ignore[attr-defined]
    found['checksum'] = int(total)
    print(json.dumps(found))


def measure(root: Path, kind: str, caches: Path) -> dict[str, float]:
    """Return what a process of its own measures."""
    environment = {**os.environ, 'XDG_CACHE_HOME': str(caches)}
    command = [sys.executable, __file__, '--kind', kind, '--folder', str(root), '--start']
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Generate the data where it is missing, start, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=100_000)
    parser.add_argument('--kind', choices=['coco', 'folder', 'yolo', 'labelme'], default='coco')
    parser.add_argument('--folder', type=Path)
    parser.add_argument('--starts', type=int, default=2)
    parser.add_argument('--start', action='store_true', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start:
        start(arguments.folder, arguments.kind)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary, 'data')
        roots = {count: folder / f'{arguments.kind}{count}' for count in (1000, arguments.images)}
        for count, root in roots.items():
            if not root.is_dir():
                generate(root, count, arguments.kind)
        time.sleep(3)  # lists of files that were just written are not kept
        least = measure(roots[1000], arguments.kind, Path(temporary, 'small'))
        rows = [
            measure(roots[arguments.images], arguments.kind, Path(temporary, 'large')) for _ in range(arguments.starts)
        ]
    print('| start | set-up, s | processor, s | lists of the run, s | peak, MiB | resident, MiB | of a loader, MiB |')
    print('|---|---:|---:|---:|---:|---:|---:|')
    for number, row in enumerate(rows, 1):
        memories = f'{row["peak"]:.0f} | {row["resident"]:.0f} | {row["worker"] - least["worker"]:.0f}'
        print(f'| {number} | {row["seconds"]:.1f} | {row["processor"]:.1f} | {row["lists"]:.1f} | {memories} |')


if __name__ == '__main__':
    main()
