"""The content of a LabelMe JSON file."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seglight.data.sources.json_files import MAX_BYTES_PER_IMAGE, kind_of_json, read_json, unread
from seglight.data.sources.painting import MAX_PIXELS, MAX_SIDE
from seglight.errors import DataError

MAX_POINTS = 1_000_000  #: maximum number of points in an image


class Shape(BaseModel):
    """A shape in a file; other fields are not checked."""

    model_config = ConfigDict(strict=True)

    label: str
    points: list[list[float]]
    shape_type: str | None = None
    mask: str | None = None


class LabelMeFile(BaseModel):
    """Content of a LabelMe file, without the copy of the image."""

    model_config = ConfigDict(strict=True)

    shapes: list[Shape]
    imagePath: str | None = None
    imageHeight: int | None = Field(None, gt=0, le=MAX_SIDE)
    imageWidth: int | None = Field(None, gt=0, le=MAX_SIDE)


def read_labelme(path: Path) -> LabelMeFile:
    """Read a LabelMe JSON file.

    Raises:
        DataError: if it cannot be read, has another format, or a value of a wrong type.
    """
    content = read_json(path, 'annotation', MAX_BYTES_PER_IMAGE)
    kind = kind_of_json(content)
    if kind != 'labelme':
        found = 'not a LabelMe file: it has no list of shapes' if kind is None else unread(kind)
        raise DataError(f'{path} is {found}')
    try:
        file = LabelMeFile.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(str(step) for step in first['loc'])
        raise DataError(f'{path}: {place} is wrong: {first["msg"]}') from error
    if (file.imageHeight or 1) * (file.imageWidth or 1) > MAX_PIXELS:
        raise DataError(
            f'{path}: {file.imageWidth}x{file.imageHeight} pixels are more than the maximum of {MAX_PIXELS}'
        )
    if sum(len(shape.points) for shape in file.shapes) > MAX_POINTS:
        raise DataError(f'{path} has more than {MAX_POINTS} points; split it')
    return file
