"""Images without masks, for prediction."""

from __future__ import annotations

import csv
import glob
import os
from collections.abc import Sequence
from pathlib import Path

from seglight.data.sources.base import Context, Sample, Source, kind_of
from seglight.data.sources.coco.file import coco_images, read_coco
from seglight.data.sources.folders import find_images, is_image
from seglight.data.sources.paths import HIDDEN, path_in, read_list
from seglight.data.sources.proposals import check_annotations
from seglight.errors import DataError

#: Characters of a row of a CSV file in which its first column is looked for; labels follow, more than `csv` reads.
_LONGEST_ID = 4096


class ImageSource(Source):
    """Images from a folder, a list, a pattern or a COCO JSON file.

    Args:
        path: a folder, an image, a pattern such as `photos/*/*.jpg` (`**` for any depth), a text file with one image
            path per line, a CSV file whose first column is `image_id`, such as a competition's sample submission, or a
            COCO JSON file; relative to `data.root`.
        img_dir: folder that the paths in a file are relative to; by default the folder of the file.
    """

    def __init__(self, path: str, img_dir: str | None = None) -> None:
        self.path = path
        self.img_dir = img_dir

    def samples(self, context: Context) -> Sequence[Sample]:
        """Return the images: sorted by path, or in the order of the file."""
        path = context.path(self.path)
        base = path.parent if self.img_dir is None else context.path(self.img_dir)
        if path.suffix.lower() == '.json':
            check_annotations(path)
            return [Sample(image, name) for image, name, _ in coco_images(path, read_coco(path), base)]
        kind = kind_of(path)
        if kind == 'folder':
            return find_images(path)
        if kind == 'file' and is_image(path):
            return named_images([path], path)
        if kind == 'file':
            lines = read_list(path)
            is_table = path.suffix.lower() == '.csv' and lines[0].partition(',')[0] == 'image_id'
            listed = [path_in(base, line) for line in (image_ids(path, lines) if is_table else lines)]
            missing = next((image for image in listed if kind_of(image) != 'file'), None)
            if missing is not None:
                raise DataError(f'{path} names {missing}, which does not exist; correct the list, or set img_dir')
            return named_images(listed, path, base if is_table else None)
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))  # noqa: PTH207  (path may be absolute)
        named = set(path.parts)  # a hidden folder in the pattern itself is intended
        found = [each for each in found if not any(part.startswith(HIDDEN) for part in set(each.parts) - named)]
        images = [image for image in found if is_image(image) and not os.path.isdir(image)]  # noqa: PTH112  (Path.is_dir raises)
        if not images:
            raise DataError(f'{path} is not a folder, image, list or COCO file, nor a pattern that matches an image')
        return named_images(images, path)


def image_ids(path: Path, lines: Sequence[str]) -> list[str]:
    """Return the first column of a CSV file without its title, and without repetitions, as run lengths have them.

    Raises:
        DataError: if there is nothing below the title.
    """
    ids = list(dict.fromkeys(next(csv.reader([line[:_LONGEST_ID]]))[0] for line in lines[1:]))
    if not ids:
        raise DataError(f'{path} has no image_id below its first line')
    return ids


def named_images(images: Sequence[Path], origin: Path | str, folder: Path | None = None) -> list[Sample]:
    """Return samples, named relative to a folder, by default to the common folder of all images.

    Args:
        images: the image files, at least one.
        origin: what lists them, for errors.
        folder: that they are named relative to, if they are below it.

    Raises:
        DataError: if two have the same name, as those that differ in the suffix alone.
    """
    absolute = [Path(os.path.abspath(image)) for image in images]  # noqa: PTH100  (follows no links, unlike resolve)
    common = Path(os.path.commonpath([image.parent for image in absolute]))
    if folder is None or not common.is_relative_to(folder := Path(os.path.abspath(folder))):  # noqa: PTH100  (as above)
        folder = common
    samples: dict[str, Sample] = {}
    for image, path in zip(images, absolute, strict=True):
        name = path.relative_to(folder).with_suffix('').as_posix()
        if name in samples:
            message = (
                f'{origin} includes {image} and {samples[name].image}; their predictions would overwrite each other'
            )
            raise DataError(f'{message}: rename one')
        samples[name] = Sample(image, name)
    return list(samples.values())
