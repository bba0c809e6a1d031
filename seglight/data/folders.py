"""A data set in two folders: images, and masks with the same names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from seglight.errors import DataError

IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp'})


@dataclass(frozen=True)
class Sample:
    """An image file, its mask file (None where there is none), and its name: the path without folder and suffix."""

    image: Path
    name: str
    mask: Path | None = None


def find_images(folder: Path) -> list[Sample]:
    """Return the images in a folder and the folders in it, sorted by path.

    Raises:
        DataError: if the folder is missing or holds no image, or two images differ only in their suffix.
    """
    if not folder.is_dir():
        raise DataError(f'The image folder {folder} does not exist; set data.root and data.img_dir to where yours is')
    images = sorted(path for path in folder.rglob('*') if _is_image(path))
    if not images:
        raise DataError(f'The folder {folder} holds no image ({", ".join(sorted(IMAGE_SUFFIXES))})')
    samples = {path.relative_to(folder).with_suffix('').as_posix(): path for path in images}
    if len(samples) < len(images):
        twin = next(path for path in images if path not in samples.values())
        raise DataError(f'{twin} has the name of another image beside it; masks could not be told apart, rename one')
    return [Sample(path, name) for name, path in samples.items()]


def _is_image(path: Path) -> bool:
    """Tell whether a path is an image by its suffix; hidden files, such as macOS's `._a.jpg`, are none."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.') and path.is_file()


def find_pairs(img_dir: Path, ann_dir: Path, mask_suffix: str = '.png') -> list[Sample]:
    """Return every image below `img_dir` with its mask at the same place below `ann_dir`.

    Raises:
        DataError: if a folder is missing or empty, or an image has no mask; names the first.
    """
    images = find_images(img_dir)
    if not ann_dir.is_dir():
        raise DataError(f'The mask folder {ann_dir} does not exist; set data.root and data.ann_dir to where yours is')
    samples = [replace(image, mask=ann_dir / f'{image.name}{mask_suffix}') for image in images]
    missing = [sample for sample in samples if sample.mask and not sample.mask.is_file()]
    if missing:
        raise DataError(
            f'{missing[0].image} has no mask: {missing[0].mask} does not exist{_and_more(missing)}; '
            f'add the mask as a {mask_suffix} file or remove the image'
        )
    return samples


def _and_more(items: Iterable[object]) -> str:
    count = len(list(items)) - 1
    return f' (and {count} more like it)' if count else ''
