"""Large COCO files in columns: the images, and where the file has the objects of each."""

from __future__ import annotations

import gc
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from seglight.array_types import Ints
from seglight.data.column_files import Array, Columns, cached, is_settled, state
from seglight.data.sources.coco.file import check_entries, check_ids, unique_categories
from seglight.data.sources.coco.shapes import NO_OUTLINE
from seglight.data.sources.json_chunks import Chunk, IrregularError, chunks
from seglight.data.texts import Texts
from seglight.errors import DataError, one_line

PARTS = ('images', 'annotations', 'categories')

#: The columns: of images their id, size, name, and the first of their objects; of objects, those of an image side by
#: side, where the file has them, and their category; ids that are not integers; images whose name is unusual; and all
#: else as JSON.
TYPES = {
    'id': '<i8',
    'height': '<i4',
    'width': '<i4',
    'name': '|u1',
    'name_end': '<i8',
    'first': '<i8',
    'start': '<i8',
    'length': '<i4',
    'category': '<i4',
    'text': '|u1',
    'text_end': '<i8',
    'odd': '<i8',
    'more': '|u1',
}

#: Names of which nothing but the suffix must be looked at: relative, without `..`, `%20` or a backslash.
_PLAIN = re.compile(r'(?:(?!\.{1,2}/)[^/\\%:]+/)*(?!\.)[^/\\%:]*[^/\\%:.]')

#: Integers of up to 18 digits are their own codes; the codes of all other ids begin below them and go down.
_INTEGER = re.compile(r'0|-?[1-9]\d{0,17}')
_FIRST_CODE = -(1 << 62)

#: Bytes of an annotation, which the column of lengths can hold.
_LONGEST = 1 << 30

#: Objects whose images are looked up at once, which bounds the memory for it.
_BLOCK = 1 << 18


class CocoFile:
    """A COCO file in columns.

    Args:
        path: the JSON file.
        columns: those of `TYPES`.
        status: the state of the file that they were made from.
    """

    def __init__(self, path: Path, columns: Columns, status: str) -> None:
        self.path = path
        self.columns = columns
        self.status = status

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.columns['id'])

    @cached_property
    def more(self) -> dict[str, Any]:
        """What is known of the whole file.

        The ids and names of its categories as `categories`, the indices of those `used` by an annotation and `drawn`
        with an outline, the `folders` of the images, the number of `annotations`, of `boxes` without an outline, and
        the `first` of these.
        """
        found: dict[str, Any] = json.loads(self.columns['more'].tobytes())
        return found

    @property
    def names(self) -> Texts:
        """The `file_name` of each image."""
        return Texts(self.columns['name'], self.columns['name_end'])

    def size(self, row: int) -> tuple[int, int]:
        """Return height and width of an image."""
        return int(self.columns['height'][row]), int(self.columns['width'][row])

    def id(self, row: int) -> str:
        """Return the id of an image."""
        return _Ids(Texts(self.columns['text'], self.columns['text_end'])).text(int(self.columns['id'][row]))

    def categories(self, row: int) -> list[int]:
        """Return the category of each object of an image, as an index."""
        first, last = self._objects(row)
        return list(self.columns['category'][first:last].tolist())

    def annotations(self, row: int) -> list[dict[str, Any]]:
        """Read the objects of an image from the file, in its order.

        Raises:
            DataError: if the file has changed since, or what was left out before is not valid.
        """
        first, last = self._objects(row)
        if first == last:
            return []
        starts, lengths = self.columns['start'][first:last], self.columns['length'][first:last]
        try:
            with self.path.open('rb') as file:
                if state(self.path) != self.status:
                    raise DataError(f'{self.path} has changed since the start; start again')
                return [_annotation(file, *place) for place in zip(starts.tolist(), lengths.tolist(), strict=True)]
        except OSError as error:
            raise DataError(f'The annotations {self.path} cannot be read: {error.strerror}') from error
        except (ValueError, RecursionError) as error:
            raise DataError(f'{self.path}: image {self.id(row)} has an annotation that is not valid JSON') from error

    def _objects(self, row: int) -> tuple[int, int]:
        """Return the range of the objects of an image."""
        first, last = self.columns['first'][row : row + 2].tolist()
        return first, last


def _annotation(file: BinaryIO, start: int, length: int) -> dict[str, Any]:
    file.seek(start)
    found = json.loads(file.read(length))
    if not isinstance(found, dict):
        raise ValueError('not an object')
    return found


def coco_columns(path: Path) -> CocoFile:
    """Return a COCO file in columns, from the cache if it has not changed.

    Raises:
        DataError: for wrong entries.
        IrregularError: if it is not such a file; `read_coco` then explains why.
        OSError: if it cannot be read.
        RecursionError: if it is nested too deeply.
    """
    status = state(path)
    key = f'{path.absolute()} {status}' if is_settled([path]) else ''
    name = f'coco {path.absolute()}'
    return CocoFile(path, cached(name, key, TYPES, lambda columns: _is_sound(columns), lambda: _made(path)), status)


def _is_sound(columns: Columns) -> bool:
    """Return whether the columns of a file in the cache fit each other."""
    images, objects = len(columns['id']), len(columns['start'])
    first, category = columns['first'], columns['category']
    if not len(columns['height']) == len(columns['width']) == len(columns['name_end']) == images == len(first) - 1:
        return False
    if not len(columns['length']) == len(category) == objects == first[-1] or first[0] or (np.diff(first) < 0).any():
        return False
    texts = (Texts(columns['name'], columns['name_end']), Texts(columns['text'], columns['text_end']))
    try:
        count = len(json.loads(columns['more'].tobytes())['categories'])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    odd = columns['odd']
    if len(odd) and not 0 <= odd.min() <= odd.max() < images:
        return False
    return all(text.is_sound() for text in texts) and (not objects or (category.min() >= 0 and category.max() < count))


class _Ids:
    """Ids as integers: `7` and `"7"` are equal, since tools mix them."""

    def __init__(self, texts: Texts | None = None) -> None:
        self.texts = texts if texts is not None else Texts.of([])
        self.codes: dict[str, int] = {}

    def code(self, value: Any) -> int:
        text = str(value)
        return int(text) if _INTEGER.fullmatch(text) else self.codes.setdefault(text, _FIRST_CODE - len(self.codes))

    def all(self, values: list[Any]) -> Ints:
        """Return the codes of a list."""
        if set(map(type, values)) <= {int}:
            with suppress(OverflowError):
                codes = np.array(values, np.int64)
                if not len(codes) or -(10**18) < codes.min() <= codes.max() < 10**18:
                    return codes
        return np.fromiter(map(self.code, values), np.int64, len(values))

    def text(self, code: int) -> str:
        """Return the id of a code."""
        return str(code) if code > _FIRST_CODE else self.texts[_FIRST_CODE - code]


class _Builder:
    """Collects the columns of a file, chunk by chunk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ids = _Ids()
        self.seen: set[str] = set()
        self.counts = dict.fromkeys(PARTS, 0)
        self.categories: list[Any] = []
        self.names: list[Texts] = []
        self.images: dict[str, list[Array]] = {name: [] for name in ('id', 'height', 'width')}
        self.objects: dict[str, list[Array]] = {name: [] for name in ('image', 'category', 'start', 'length', 'drawn')}
        self.used: set[int] = set()
        self.boxes = 0
        self.first_box = ''
        self.checked: dict[str, DataError] = {}

    def add(self, chunk: Chunk) -> None:
        """Add the entries of a chunk; keep the first error of each part."""
        self.seen.add(chunk.part)
        if chunk.part == 'annotations' and chunk.entries and 'segments_info' in chunk.entries[0]:
            raise IrregularError('panoptic')
        try:
            if chunk.part != 'annotations' or not _are_objects(chunk.entries):
                check_entries(self.path, chunk.part, chunk.entries, self.counts[chunk.part])
        except DataError as error:
            self.checked.setdefault(chunk.part, error)
            return
        self.counts[chunk.part] += len(chunk.entries)
        if chunk.part == 'images':
            self._add_images(chunk.entries)
        elif chunk.part == 'annotations':
            self._add_objects(chunk)
        else:
            self.categories += chunk.entries

    def _add_images(self, entries: list[dict[str, Any]]) -> None:
        self.names.append(Texts.of(entry['file_name'] for entry in entries))
        self.images['id'].append(self.ids.all([entry['id'] for entry in entries]))
        for side in ('height', 'width'):
            self.images[side].append(np.array([entry[side] for entry in entries], np.int32))

    def _add_objects(self, chunk: Chunk) -> None:
        """Add annotations."""
        entries = chunk.entries
        if len(entries) and (chunk.ends - chunk.starts).max() > _LONGEST:
            raise IrregularError('an annotation of more than a gigabyte')
        categories = self.ids.all([entry['category_id'] for entry in entries])
        self.used.update(np.unique(categories).tolist())
        drawn = np.ones(len(entries), np.bool_)
        columns: dict[str, Array] = {
            'image': _narrowed(self.ids.all([entry['image_id'] for entry in entries])),
            'category': _narrowed(categories),
            'start': chunk.starts,
            'length': (chunk.ends - chunk.starts).astype(np.int32),
            'drawn': drawn,
        }
        boxes = [
            index
            for index, entry in enumerate(entries)
            if entry.get('segmentation') in NO_OUTLINE and entry.get('bbox')
        ]
        if boxes and not self.boxes:
            self.first_box = f'annotation {one_line(repr(entries[boxes[0]].get("id")))[:40]}'
        self.boxes += len(boxes)
        drawn[boxes] = False
        for name, column in columns.items():
            self.objects[name].append(column)

    def columns(self) -> dict[str, Array]:
        """Return the columns.

        Raises:
            DataError: for the first wrong entry.
            IrregularError: if a part is missing.
        """
        if 'images' not in self.seen or not (self.counts['images'] or 'images' in self.checked):
            raise IrregularError('no images')
        for part in ('images', 'categories', 'annotations'):
            if part in self.checked:
                raise self.checked[part]
        if 'annotations' not in self.seen:
            raise DataError(f"{self.path} has no 'annotations' to train on; use a file that has them")
        categories = unique_categories(self.categories)
        check_ids(self.path, 'categories', categories)
        images = {name: np.concatenate(self.images.pop(name)) for name in list(self.images)}
        names = Texts(
            np.concatenate([each.data for each in self.names]),
            np.concatenate([np.diff(each.ends, prepend=0) for each in self.names]).cumsum(),
        )
        self._check_image_ids(images['id'], names)
        self._check_names(names)
        objects = self._sorted(images['id'], self.ids.all([each['id'] for each in categories]))
        texts = Texts.of(self.ids.codes)
        more = {
            'categories': [[str(each['id']), each['name']] for each in categories],
            'used': [index for index, each in enumerate(categories) if self.ids.code(each['id']) in self.used],
            'drawn': np.unique(objects['category']).tolist(),
            'annotations': self.counts['annotations'],
            'folders': sorted({name.rpartition('/')[0] for name in names}),
            'boxes': self.boxes,
            'first': self.first_box,
        }
        return {
            **images,
            'name': names.data,
            'name_end': names.ends,
            **objects,
            'text': texts.data,
            'text_end': texts.ends,
            'odd': np.flatnonzero([not (_PLAIN.fullmatch(name) and name.isprintable()) for name in names]),
            'more': np.frombuffer(json.dumps(more).encode(), np.uint8),
        }

    def _check_image_ids(self, codes: Ints, names: Texts) -> None:
        """Reject two images with one id."""
        ordered = np.argsort(codes, kind='stable')
        same = np.flatnonzero(codes[ordered[1:]] == codes[ordered[:-1]])
        if len(same):
            first = min(ordered[same].tolist())
            rows = np.flatnonzero(codes == codes[first])[:2].tolist()
            number = _Ids(Texts.of(self.ids.codes)).text(int(codes[first]))
            check_ids(self.path, 'images', [{'id': number, 'file_name': names[row]} for row in rows])

    def _check_names(self, names: Texts) -> None:
        """Reject two images with one name."""
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        if len(np.unique(hashes)) < len(names):
            name, count = Counter(names).most_common(1)[0]
            if count > 1:
                raise DataError(f"{self.path}: two images have the file_name '{name}'; keep one")

    def _sorted(self, images: Ints, categories: Ints) -> dict[str, Array]:
        """Return the columns of the objects that have an outline, sorted by image.

        Raises:
            DataError: for the id of an unknown category or image.
        """
        category = _looked_up(self._joined('category'), categories)
        unknown = np.flatnonzero(category < 0)
        if len(unknown):
            with self.path.open('rb') as file:
                places = (int(np.concatenate(self.objects[name])[unknown[0]]) for name in ('start', 'length'))
                found = _annotation(file, *places)
            number = one_line(repr(found.get('id')))[:40]
            raise DataError(f'{self.path}: annotation {number} has the unknown category_id {found["category_id"]}')
        codes = self._joined('image')
        image = _looked_up(codes, images)
        if (image < 0).any():
            ids = _Ids(Texts.of(self.ids.codes))
            least = min(ids.text(code) for code in np.unique(codes[image < 0]).tolist())
            raise DataError(f'{self.path}: annotations have the unknown image_id {least}')
        del codes
        drawn = self._joined('drawn', np.bool_)
        first = np.zeros(len(images) + 1, np.int64)
        np.cumsum(np.bincount(image[drawn], minlength=len(images)), out=first[1:])
        order = None
        if not drawn.all() or (np.diff(image) < 0).any():
            order = np.argsort(image, kind='stable')
            order = order[drawn[order]]
        del image, drawn
        columns: dict[str, Array] = {
            'start': self._joined('start', np.int64),
            'length': self._joined('length'),
            'category': category,
        }
        if order is not None:
            columns = {name: column[order] for name, column in columns.items()}
        return {'first': first, **columns}

    def _joined(self, name: str, dtype: type = np.int32) -> Array:
        """Return a column of the objects, of this or a wider type, and forget its chunks."""
        return np.concatenate([np.empty(0, dtype), *self.objects.pop(name)])


def _narrowed(codes: Ints) -> Array:
    """Return codes as 32-bit integers if they fit, which halves the memory for those of millions of objects."""
    limits = np.iinfo(np.int32)
    fit = not len(codes) or limits.min <= codes.min() <= codes.max() <= limits.max
    return codes.astype(np.int32) if fit else codes


def _looked_up(codes: Array, known: Ints) -> npt.NDArray[np.int32]:
    """Return the index of each code among the known ones, -1 for the others, int32 `[N]`."""
    ordered = np.argsort(known, kind='stable')
    found = np.full(len(codes), -1, np.int32)
    for first in range(0, len(codes) if len(known) else 0, _BLOCK):
        block = codes[first : first + _BLOCK].astype(np.int64)
        places = ordered[np.minimum(np.searchsorted(known, block, sorter=ordered), len(known) - 1)]
        found[first : first + _BLOCK] = np.where(known[places] == block, places, -1)
    return found


def _are_objects(entries: list[dict[str, Any]]) -> bool:
    """Return whether annotations have ids of an image and a category; `check_entries` is slower."""
    try:
        values = [map(itemgetter(name), entries) for name in ('image_id', 'category_id')]
        kinds = set().union(*(map(type, each) for each in values))
    except KeyError:
        return False
    return kinds <= {int, str}


def _made(path: Path) -> dict[str, Array]:
    """Read a file."""
    builder = _Builder(path)
    with path.open('rb') as file, _without_collector():
        for chunk in chunks(file, PARTS):
            builder.add(chunk)
    return builder.columns()


@contextmanager
def _without_collector() -> Iterator[None]:
    """Collect no garbage meanwhile: parsing makes millions of dicts, none of which refers to itself."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
