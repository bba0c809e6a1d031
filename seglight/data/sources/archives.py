"""A data set in zip or tar archives, which are read in place."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from seglight.data.archives.addresses import check_address, is_address
from seglight.data.archives.archive import Archive
from seglight.data.archives.index import ARCHIVE_SUFFIXES, is_archive, open_archive, open_remote
from seglight.data.archives.member_cache import MemberCache
from seglight.data.archives.remote import listed
from seglight.data.formats import UnreadableError
from seglight.data.sources.archive_rows import ArchiveRows
from seglight.data.sources.base import Context, kind_of
from seglight.data.sources.columns import Part, Samples
from seglight.data.sources.folders import FolderSource
from seglight.data.sources.paths import HIDDEN
from seglight.errors import DataError, UsageError

#: Remote archives whose lists are read at once.
_CONNECTIONS = 16


class ArchiveSource(FolderSource):
    """Images and masks in archives: zip without compression, or tar. They are read in place, in any order.

    Args:
        path: an archive, a folder of archives, or a list of either; relative to `data.root`, or an address that begins
            with `s3://`, `gs://`, `hf://`, `https://` or `http://`.
        img_dir: folder of the images in the archives; `''` for the whole archives.
        ann_dir: folder of the masks in the archives, with the same relative paths; null if there are none.
        mask_suffix: replaces the image suffix in the names of the masks.
        images: the number of images that there must be, so that a missing archive is noticed.
        reduce_zero_label: as in `FolderSource`.
        label_map: as in `FolderSource`.
        ignore_colours: as in `FolderSource`.
        nearest: as in `FolderSource`.
        cache_size: maximum size in MiB of the cache for remote archives, which all sources share; 0 for none.
    """

    def __init__(
        self,
        path: str | list[str],
        img_dir: str = 'img_dir',
        ann_dir: str | None = 'ann_dir',
        mask_suffix: str = '.png',
        images: int | None = None,
        reduce_zero_label: bool | None = None,
        label_map: dict[int, int | str | None] | None = None,
        ignore_colours: Sequence[Sequence[int]] = (),
        nearest: bool = False,
        cache_size: int = 10240,
    ) -> None:
        for each in map(str, [path] if isinstance(path, str) else path):
            if is_address(each):
                check_address(each)
        if cache_size < 0:
            raise UsageError(f'cache_size must be 0 or more MiB, got {cache_size}')
        super().__init__(
            img_dir,
            ann_dir,
            mask_suffix=mask_suffix,
            reduce_zero_label=reduce_zero_label,
            label_map=label_map,
            ignore_colours=ignore_colours,
            nearest=nearest,
        )
        self.path = path
        self.count = images
        self.cache_size = cache_size

    def samples(self, context: Context) -> Samples:
        """Return the images in the order of the archives, and in each in its own order."""
        places = [self.path] if isinstance(self.path, str) else self.path
        cache = MemberCache(self.cache_size << 20) if self.cache_size else None
        archives = [archive for place in places for archive in _archives(place, context, cache)]
        prefixes = [_prefix(folder) for folder in (self.img_dir, self.ann_dir)]
        rows = ArchiveRows(archives, prefixes[0] or '', prefixes[1], self.mask_suffix, self._labels(context))
        if self.count is not None and len(rows) != self.count:
            count = f'{len(rows):,} images in {len(archives):,} archives'
            raise DataError(f'{places[0]} has {count}, must have {self.count:,}; add the missing archive')
        return Samples([Part(rows)])

    def mask_folder(self, context: Context) -> None:
        """Return None: masks without an image are not looked for."""


def _archives(place: str, context: Context, cache: MemberCache | None) -> list[Archive]:
    """Return the archives that a path or an address means, sorted by name.

    Raises:
        DataError: if there is none, or one cannot be read.
    """
    if not is_address(place):
        return [open_archive(file) for file in _files(context.path(place))]
    addresses = [place]
    if not is_archive(Path(place)):
        try:
            addresses = [] if place.startswith('http') else listed(place, ARCHIVE_SUFFIXES)
        except UnreadableError as error:
            raise DataError(f'A folder of archives cannot be read: {error}') from None
        if not addresses:
            kinds = ' or '.join(ARCHIVE_SUFFIXES)
            raise DataError(f'{place} must be an archive that ends with {kinds}, or (not over http) a folder of them')
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return list(pool.map(partial(open_remote, cache=cache), addresses))


def _files(path: Path) -> list[Path]:
    """Return the archives that a path means, sorted by name.

    Raises:
        DataError: if there is none.
    """
    kind, suffixes = kind_of(path), ' or '.join(ARCHIVE_SUFFIXES)
    if kind is None:
        raise DataError(f'The archive {path} does not exist; correct path, or set data.root')
    if kind == 'file':
        if not is_archive(path):
            raise DataError(f'{path} must be an archive that ends with {suffixes}, or a folder of them')
        return [path]
    files = sorted(each for each in path.iterdir() if is_archive(each) and not each.name.startswith(HIDDEN))
    if not files:
        raise DataError(f'The folder {path} contains no archive that ends with {suffixes}')
    return files


def _prefix(folder: str | None) -> str | None:
    """Return the beginning of the names in a folder of an archive."""
    if folder is None:
        return None
    folder = folder.strip('/')
    return f'{folder}/' if folder else ''
