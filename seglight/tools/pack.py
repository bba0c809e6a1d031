"""Write the images and masks of a config into archives (data pack)."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import yaml

from seglight.cores import cores
from seglight.counting import counted
from seglight.data import SegmentationDataModule
from seglight.data.archives.index import open_archive
from seglight.data.checks import read_header
from seglight.data.dataset import SegmentationDataset
from seglight.data.formats import IMAGE_SUFFIXES, reading
from seglight.data.images import glance
from seglight.data.places import read_bytes
from seglight.data.sources import Sample, Samples, Use
from seglight.data.sources.base import stamp
from seglight.errors import DataError, UsageError, say
from seglight.files import open_atomically, write_atomically, writing_to

#: Names in the folder: of what the archives are made from, and of the config that reads them.
RECORD, CONFIG = 'packed.json', 'data.yaml'

#: Samples that are read at once.
_AT_ONCE = 64

_MIB = 1 << 20


def pack(module: SegmentationDataModule, output: Path, mebibytes: int) -> Path:
    """Write the samples of all sources into archives, and a config that reads them; finished archives are kept.

    Image files are copied byte for byte, masks become PNGs with the labels of the classes.

    Args:
        module: the data.
        output: the folder, new or of the same data.
        mebibytes: size of an archive, which only a larger sample exceeds.

    Returns:
        The config.

    Raises:
        UsageError: if the folder has something else.
        DataError: if a sample cannot be used, unless bad samples are to be skipped.
        OutputError: if the folder cannot be written.
    """
    parts = list(_parts(module))
    with writing_to(output, 'free some space or choose another --output, then run the same command again'):
        _claim(output, _digest(parts, mebibytes))
        sources: dict[str, list[dict[str, Any]]] = {}
        for name, split, use, samples in parts:
            count = _Packer(module.dataset(split, samples), output / name, mebibytes * _MIB).run()
            source: dict[str, Any] = {'type': 'ArchiveSource', 'path': name, 'images': count}
            source |= {'ann_dir': None} if split == 'test' else {'reduce_zero_label': False}
            source |= {'repeat': use.repeat} if use.repeat != 1 else {}
            source |= {'only_train': True} if use.only_train else {}
            sources.setdefault(split, []).append(source)
        config = {'data': {'root': str(output.resolve()), **sources}}
        write_atomically(output / CONFIG, yaml.safe_dump(config, sort_keys=False).encode())
    return output / CONFIG


def _parts(module: SegmentationDataModule) -> Iterator[tuple[str, str, Use, Samples]]:
    """Yield the name of the folder, the split, the use and the samples of each source."""
    for split in ('train', 'val', 'test'):
        try:
            found = module.apart(split)
        except DataError as error:
            if split != 'test':
                raise
            say(f'data.test is left out: {error}')
            continue
        for number, (use, samples) in enumerate(found, start=1):
            yield split if len(found) == 1 else f'{split}-{number}', split, use, samples


def _digest(parts: Sequence[tuple[str, str, Use, Samples]], mebibytes: int) -> str:
    """Return a text that changes with the samples and the size of an archive."""
    digest = hashlib.blake2b(f'1 {mebibytes}'.encode(), digest_size=20)
    for name, _, _, samples in parts:
        digest.update(f'\n{name}'.encode())
        for sample in samples:
            mask = '' if sample.mask is None else sample.mask.fingerprint()
            digest.update(f'\n{sample.image} {sample.name} {stamp(sample.image)} {mask}'.encode(errors='surrogatepass'))
    return digest.hexdigest()


def _claim(output: Path, digest: str) -> None:
    """Note in the folder what it is made from.

    Raises:
        UsageError: if it has something else.
    """
    record = output / RECORD
    try:
        known = json.loads(record.read_bytes())
    except (OSError, ValueError, RecursionError):
        known = None
    if output.is_dir() and known is None and any(output.iterdir()):
        raise UsageError(f'{output} exists and is not a folder of data pack; choose another --output')
    if known is not None and known != {'made from': digest}:
        raise UsageError(f'{output} has archives of other data or of another size; choose another --output')
    if known is None:
        write_atomically(record, json.dumps({'made from': digest}).encode())


class _Packed(NamedTuple):
    """What an archive gets of a sample: the names and bytes of its files."""

    name: str
    files: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        return sum(len(data) for _, data in self.files)


class _Packer:
    """Writes the samples of a source.

    Args:
        dataset: the samples.
        folder: of the archives.
        limit: bytes of an archive.
    """

    def __init__(self, dataset: SegmentationDataset, folder: Path, limit: int) -> None:
        self.dataset = dataset
        self.folder = folder
        self.limit = limit
        self.names: set[str] = set()

    def run(self) -> int:
        """Write all archives that are missing; return the number of images."""
        number, count, first = 0, 0, 0
        while (path := self._path(number)).exists():
            held = [name for name in open_archive(path).names if name.startswith('img_dir/')]
            self.names.update(name[len('img_dir/') : name.rfind('.')] for name in held)
            first = self._after(first, held[-1]) if held else first
            number, count = number + 1, count + len(held)
        items = self._items(first)
        item = next(items, None)
        while item is not None:
            size = 0
            path = self._path(number)
            with open_atomically(path) as file, zipfile.ZipFile(file, 'w') as archive:
                while item is not None and (not size or size + item.size <= self.limit):
                    for name, data in item.files:
                        info = zipfile.ZipInfo(name)
                        info.external_attr = 0o644 << 16
                        archive.writestr(info, data)
                    size, count = size + item.size, count + 1
                    item = next(items, None)
            say(path)
            number += 1
        say(f'{self.folder}: {counted(count, "image")} in {counted(number, "archive")}')
        return count

    def _path(self, number: int) -> Path:
        return self.folder / f'{number:05}.zip'

    def _after(self, first: int, member: str) -> int:
        """Return the index after the sample with a member, which is at `first` or later."""
        for index in range(first, len(self.dataset)):
            if _image_member(self.dataset.samples[index]) == member:
                return index + 1
        raise UsageError(f'{self.folder} has archives of other data; choose another --output')

    def _items(self, first: int) -> Iterator[_Packed]:
        """Yield what to write of each sample.

        Raises:
            DataError: if one cannot be used, unless bad samples are to be skipped.
        """
        samples = self.dataset.samples
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(first, len(samples), _AT_ONCE):
                chosen = range(start, min(start + _AT_ONCE, len(samples)))
                for found in pool.map(lambda index: self._read(samples[index]), chosen):
                    if isinstance(found, _Packed):
                        if found.name in self.names:
                            raise DataError(f'two images of {self.folder.name} are named {found.name!r}; rename one')
                        self.names.add(found.name)
                        yield found
                    elif self.dataset.on_bad_sample == 'skip':
                        say(f'left out: {found}')
                    else:
                        raise DataError(f'{found} (`data check` lists all faults)')

    def _read(self, sample: Sample) -> _Packed | str:
        """Return the files of a sample, or its fault."""
        try:
            if sample.image.suffix.lower() not in IMAGE_SUFFIXES:
                raise DataError(f'{sample.image} must end with {", ".join(sorted(IMAGE_SUFFIXES))}; rename it')
            fault = read_header(sample).fault
            if fault is not None:
                return fault
            if sample.mask is None:
                glance(sample.image)
            with reading(sample.image, 'The image '):
                files = [(_image_member(sample), read_bytes(sample.image))]
            if sample.mask is not None:
                labels = cv2.imencode('.png', self.dataset.read_labels(sample))[1].tobytes()
                files.append((f'ann_dir/{sample.name}.png', labels))
            for name, _ in files:
                name.encode()
        except UnicodeEncodeError:
            return f'{str(sample.image)!r}: its name is not Unicode text; rename it'
        except DataError as error:
            return str(error)
        return _Packed(sample.name, files)


def _image_member(sample: Sample) -> str:
    return f'img_dir/{sample.name}{sample.image.suffix}'
