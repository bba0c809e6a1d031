"""Reading and checking COCO JSON files, with the variations of the tools that write them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from seglight.data.sources.json_files import kind_of_json, read_json, unread
from seglight.data.sources.painting import MAX_PIXELS, MAX_SIDE
from seglight.data.sources.paths import path_in
from seglight.errors import DataError


def read_coco(path: Path) -> Mapping[str, Any]:
    """Read a COCO JSON file.

    Returns:
        Its content, without repeated categories: the VGG Image Annotator repeats them for every image.

    Raises:
        DataError: if it cannot be read, is not JSON or not a COCO file, or has wrong entries.
    """
    content = read_json(path)
    images = content.get('images') if isinstance(content, dict) else None
    kind = kind_of_json(content)
    if kind not in (None, 'coco'):
        raise DataError(f'{path} is {unread(kind)}')
    if not isinstance(content, dict) or not isinstance(images, list) or not images:
        raise DataError(f"{path} is not a COCO file: 'images' must be a list with at least one image")
    for part in _ENTRIES:
        check_entries(path, part, content.get(part, []))
    content = {**content, 'categories': unique_categories(content.get('categories', []))}
    for part in ('images', 'categories'):
        check_ids(path, part, content[part])
    return content


def unique_categories(categories: Sequence[Any]) -> list[Any]:
    """Return each category once: the VGG Image Annotator repeats them for every image."""
    return list({(str(each['id']), each['name']): each for each in categories}.values())


class _Entry(BaseModel):
    """An entry of a COCO file; other fields are not checked."""

    model_config = ConfigDict(strict=True)

    id: int | str


class _Image(_Entry):
    file_name: str
    height: int = Field(gt=0, le=MAX_SIDE)
    width: int = Field(gt=0, le=MAX_SIDE)

    @model_validator(mode='after')
    def _can_be_read(self) -> _Image:
        if self.height * self.width > MAX_PIXELS:
            raise ValueError(f'{self.width}x{self.height} pixels are more than the maximum of {MAX_PIXELS}')
        return self


class _Category(_Entry):
    name: str


class _Object(BaseModel):
    model_config = ConfigDict(strict=True)

    image_id: int | str
    category_id: int | str


#: The lists of a COCO file and their entries.
_ENTRIES: dict[str, type[BaseModel]] = {'images': _Image, 'categories': _Category, 'annotations': _Object}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {part: TypeAdapter(list[kind]) for part, kind in _ENTRIES.items()}  # type: ignore[valid-type]


def check_entries(path: Path, part: str, entries: Any, first_index: int = 0) -> None:
    """Check the types of the entries of `images`, `categories` or `annotations`.

    Args:
        path: the file, for errors.
        part: the name of the list.
        entries: the list, or some of its entries in a row.
        first_index: the place of the first of them in the list.

    Raises:
        DataError: names the file and the entry.
    """
    try:
        _ADAPTERS[part].validate_python(entries)
    except ValidationError as error:
        first = error.errors()[0]
        where = (int(first['loc'][0]) + first_index, *first['loc'][1:]) if isinstance(entries, list) else first['loc']
        place = '.'.join(str(step) for step in (part, *where))
        reason = first['msg'].removeprefix('Value error, ')
        entry = entries[first['loc'][0]] if first['loc'] else None
        known = [
            f'{key} {entry[key]}' for key in ('id', 'file_name', 'name') if isinstance(entry, dict) and key in entry
        ]
        raise DataError(f'{path}: {place} {f"({known[0]}) " if known else ""}is wrong: {reason}') from error


def check_ids(path: Path, part: str, entries: list[Any]) -> None:
    """Reject duplicate ids; `0` and `"0"` are equal, since tools mix them.

    Raises:
        DataError: names the file and two entries.
    """
    for number, count in Counter(str(entry['id']) for entry in entries).items():
        if count > 1:
            named = [str(entry.get('file_name', entry.get('name'))) for entry in entries if str(entry['id']) == number]
            raise DataError(f'{path}: {part} {" and ".join(named[:2])} have the same id {number}; each needs its own')


def coco_images(path: Path, content: Mapping[str, Any], folder: Path) -> list[tuple[Path, str, dict[str, Any]]]:
    """Return file, name and entry of each image of a COCO file.

    Raises:
        DataError: if a file is listed twice, or a path is invalid or leads out of the folder.
    """
    images: dict[Path, tuple[Path, str, dict[str, Any]]] = {}
    for entry in content['images']:
        image, name = coco_image(path, entry['file_name'], entry['id'], folder)
        if image in images:
            raise DataError(f"{path}: two images have the file_name '{entry['file_name']}'; keep one")
        images[image] = (image, name, entry)
    return list(images.values())


def coco_image(path: Path, given: str, number: int | str, folder: Path) -> tuple[Path, str]:
    """Return file and name of an image of a COCO file.

    Args:
        path: the COCO file, for errors.
        given: the `file_name` of the image.
        number: its id, for errors.
        folder: that the name is relative to.

    Raises:
        DataError: if it is invalid or leads out of the folder.
    """
    if not Path(given).name or '\0' in given:
        raise DataError(f'{path}: the file_name {given!r} of image {number} is not a file path; correct it')
    if Path(given).is_absolute():
        raise DataError(f"{path}: the file_name '{given}' leads out of img_dir; give it relative to that folder")
    image = path_in(folder, given)
    file = image.relative_to(folder)
    if '..' in file.parts:
        raise DataError(f"{path}: the file_name '{file}' leads out of img_dir; give it relative to that folder")
    return image, file.with_suffix('').as_posix()
