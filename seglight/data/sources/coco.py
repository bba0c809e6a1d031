"""Images and their objects in a COCO JSON file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from seglight.config.settings import nearest
from seglight.data.images import UInt8Array
from seglight.data.sources.base import Annotation, Context, Sample, Source
from seglight.errors import DataError, one_line
from seglight.plain_text import load_json

#: A point of a polygon lies no farther than so many times the longer side of its image.
FARTHEST = 100

#: OpenCV reads no image with more pixels or a longer side.
MOST_PIXELS, LONGEST_SIDE = 1 << 30, 1 << 20


class CocoSource(Source):
    """The images of a COCO JSON file; their objects are painted with the largest first, so that small ones win.

    Args:
        ann_file: the JSON file, relative to `data.root`.
        img_dir: folder that the file's `file_name`s are relative to.
        background: class of pixels without an object. By default the first class if the file has no category
            of its name, otherwise they are ignored.
        category_map: the class of a category whose name is no class, such as `{sofa: couch}`; null ignores its
            pixels. Categories are told by their names, whatever their ids.
    """

    def __init__(
        self,
        ann_file: str,
        img_dir: str = '',
        background: str | None = None,
        category_map: dict[str, str | None] | None = None,
    ) -> None:
        self.ann_file = ann_file
        self.img_dir = img_dir
        self.background = background
        self.category_map = category_map or {}

    def samples(self, context: Context) -> list[Sample]:
        """Return the images in the order of the file."""
        path = context.path(self.ann_file)
        content = read_coco(path)
        labels = self._labels(path, content, context)
        background = self._background(path, content, context)
        if 'annotations' not in content:
            raise DataError(
                f"{path} has no 'annotations', so nothing can be learned from it; name the file that has them"
            )
        objects: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for annotation in content['annotations']:
            category = annotation.get('category_id')
            if category not in labels:
                raise DataError(
                    f'{path}: annotation {annotation.get("id")} has category_id {category}, which no category has'
                )
            objects[annotation.get('image_id')].append((labels[category], annotation))
        unknown = objects.keys() - {image['id'] for image in content['images']}
        if unknown:
            raise DataError(f'{path}: annotations have image_id {min(unknown, key=str)}, which no image has')
        return [
            Sample(image, name, Objects(path, entry, objects.get(entry['id'], []), background))
            for image, name, entry in coco_images(path, content, context.path(self.img_dir))
        ]

    def _labels(self, path: Path, content: Mapping[str, Any], context: Context) -> dict[int, int]:
        """Return the label of each category id."""
        names = list(context.classes)
        labels = {}
        known = [category['name'] for category in content.get('categories', [])]
        for key in self.category_map:
            if key not in known:
                raise DataError(f"category_map: {path} has no category '{key}'{nearest(key, known)}")
        for category in content.get('categories', []):
            name = self.category_map.get(category['name'], category['name'])
            if name is not None and name not in names:
                raise DataError(
                    f"{path} has the category '{name}', which is no class of data.classes{nearest(name, names)}; "
                    'add it there, or give its class, or null, in category_map of the source'
                )
            labels[category['id']] = context.ignore_index if name is None else names.index(name)
        return labels

    def _background(self, path: Path, content: Mapping[str, Any], context: Context) -> int:
        """Return the label of pixels without an object."""
        names = list(context.classes)
        if self.background is not None:
            if self.background not in names:
                raise DataError(
                    f"{path}: the background '{self.background}' is no class{nearest(self.background, names)}"
                )
            return names.index(self.background)
        categories = {self.category_map.get(each['name'], each['name']) for each in content.get('categories', [])}
        return context.ignore_index if names[0] in categories else 0


class Objects(Annotation):
    """The objects of one image of a COCO file.

    Args:
        path: the JSON file.
        image: the image's entry in it.
        objects: label and annotation of each object.
        background: label of pixels without one.
    """

    def __init__(
        self, path: Path, image: Mapping[str, Any], objects: Sequence[tuple[int, dict[str, Any]]], background: int
    ) -> None:
        self._path = path
        self._image = image
        self._objects = objects
        self._background = background

    @property
    def path(self) -> Path:
        """The JSON file."""
        return self._path

    def __str__(self) -> str:
        """Return the file's path and the image's id."""
        return f'of image {self._image["id"]} in {self._path}'

    def size(self) -> tuple[int, int]:
        """Return height and width that the file gives."""
        return int(self._image['height']), int(self._image['width'])

    def fingerprint(self) -> str:
        """Return what tells the JSON file, the image and the classes that its objects are painted as."""
        return f'{super().fingerprint()} {self._background} {[label for label, _ in self._objects]}'

    def read(self) -> UInt8Array:
        """Paint the objects, uint8 `[H, W]`."""
        height, width = self.size()
        runs = [self._encoded(annotation, height, width) for _, annotation in self._objects]
        mask = np.full((height, width), self._background, dtype=np.uint8)
        areas = np.array([mask_utils.area(run) for run in runs])
        for index in np.argsort(-areas.astype(np.int64), kind='stable'):
            mask[mask_utils.decode(runs[index]) > 0] = self._objects[index][0]
        return mask

    def _encoded(self, annotation: Mapping[str, Any], height: int, width: int) -> Any:
        """Return an object's polygons, or its run lengths of either kind, as compressed run lengths."""
        number = annotation.get('id')
        where = f'{self._path}: in image {self._image["id"]} the segmentation of annotation {number}'
        given = annotation.get('segmentation')
        try:
            if not isinstance(given, dict):
                return _painted_polygons(given, height, width)
            counts = given.get('counts')
            lengths = _run_lengths(counts) if isinstance(counts, str) else counts
            if not isinstance(lengths, list) or not all(isinstance(length, int) for length in lengths):
                raise DataError('has counts that are no text and no list of whole numbers; correct or remove it')
            if list(given['size']) != [height, width] or sum(lengths) != height * width or min(lengths) < 0:
                # pycocotools would return what happens to be in memory for pixels that no run covers.
                message = f'has the size {given["size"]} and runs of {sum(lengths)} pixels in all'
                raise DataError(f'{message}, but its image has the size [{height}, {width}]')
            return mask_utils.frPyObjects({'size': [height, width], 'counts': lengths}, height, width)
        except DataError as error:
            raise DataError(f'{where} {error}') from error
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise DataError(f'{where} cannot be decoded: {one_line(error) or type(error).__name__}') from error


def _painted_polygons(polygons: Any, height: int, width: int) -> Any:
    """Return polygons, each of x and y in turns, as compressed run lengths.

    Raises:
        DataError: if they are none, or lie where pycocotools, whose memory is in proportion to the length of an
            edge, would end the process; it paints nothing for what is no number.
    """
    if not isinstance(polygons, list) or not polygons:
        raise DataError('is no polygon of three points or more; correct or remove it')
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64)
        if points.ndim != 1 or points.size < 6 or points.size % 2:
            raise DataError('is no polygon of three points or more; correct or remove it')
        if not (np.abs(points) <= FARTHEST * max(height, width)).all():
            raise DataError('has a point that is no number, or far outside the image; correct or remove it')
    return mask_utils.merge(mask_utils.frPyObjects(polygons, height, width))


def _run_lengths(text: str) -> list[int]:
    """Return the run lengths that a string of COCO holds, as `rleFrString` in pycocotools' `maskApi.c` reads it.

    Characters from `0` on hold five bits each, the lowest first; a sixth says that more follow. From the
    fourth run on it is the difference to the run before the last.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode('ascii'):
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths


def read_coco(path: Path) -> Mapping[str, Any]:
    """Read a COCO JSON file.

    Raises:
        DataError: if it cannot be read, is no JSON, or has no list of images.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f'The annotations {path} cannot be read: {error.strerror}') from error
    content: Mapping[str, Any] = load_json(data, str(path), DataError)
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise DataError(f"{path} is no COCO file: it has no list 'images', or an empty one")
    for part, entry in _ENTRIES.items():
        _check_entries(path, part, content.get(part, []), entry)
    return content


class _Entry(BaseModel):
    """An entry of a COCO file; what is not named is not checked."""

    model_config = ConfigDict(strict=True)

    id: int | str


class _Image(_Entry):
    file_name: str
    height: int = Field(gt=0, le=LONGEST_SIDE)
    width: int = Field(gt=0, le=LONGEST_SIDE)

    @model_validator(mode='after')
    def _can_be_read(self) -> _Image:
        if self.height * self.width > MOST_PIXELS:
            raise ValueError(f'{self.height} x {self.width} pixels are more than any image has that can be read')
        return self


class _Category(_Entry):
    name: str


class _Object(BaseModel):
    model_config = ConfigDict(strict=True)

    image_id: int | str
    category_id: int | str


#: What each list of a COCO file holds.
_ENTRIES: dict[str, type[BaseModel]] = {'images': _Image, 'categories': _Category, 'annotations': _Object}


def _check_entries(path: Path, part: str, entries: Any, kind: type[BaseModel]) -> None:
    """Refuse entries that are not what they should be, and ids that stand twice.

    Raises:
        DataError: names the file and the entry.
    """
    try:
        TypeAdapter(list[kind]).validate_python(entries)  # type: ignore[valid-type]
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(str(step) for step in (part, *first['loc']))
        reason = first['msg'].removeprefix('Value error, ')
        entry = entries[first['loc'][0]] if first['loc'] else None
        known = [
            f'{key} {entry[key]}' for key in ('id', 'file_name', 'name') if isinstance(entry, dict) and key in entry
        ]
        raise DataError(f'{path}: {place} {f"({known[0]}) " if known else ""}is wrong: {reason}') from error
    if part == 'annotations':
        return
    for number, count in Counter(entry['id'] for entry in entries).items():
        if count > 1:
            named = [str(entry.get('file_name', entry.get('name'))) for entry in entries if entry['id'] == number]
            raise DataError(f'{path}: {part} {" and ".join(named[:2])} have the same id {number}; each needs its own')


def coco_images(path: Path, content: Mapping[str, Any], folder: Path) -> list[tuple[Path, str, dict[str, Any]]]:
    """Return file, name and entry of each image of a COCO file.

    Raises:
        DataError: if two have the same name, or one is no path or leads out of its folder.
    """
    images: dict[str, tuple[Path, str, dict[str, Any]]] = {}
    for entry in content['images']:
        file = Path(entry['file_name'])
        if not file.name or '\0' in str(file):
            raise DataError(
                f'{path}: the file_name {entry["file_name"]!r} of image {entry["id"]} is no path of a file; correct it'
            )
        if file.is_absolute() or '..' in file.parts:
            raise DataError(f"{path}: the file_name '{file}' leads out of img_dir; give it relative to that folder")
        name = file.with_suffix('').as_posix()
        if name in images:
            raise DataError(f"{path}: two images have the file_name '{name}'; keep one")
        images[name] = (folder / file, name, entry)
    return list(images.values())
