"""The images of archives in columns, with their masks in the same or in other archives."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from seglight.data.archives.archive import Archive
from seglight.data.column_files import Array, Columns, cached
from seglight.data.formats import IMAGE_SUFFIXES
from seglight.data.labels import LabelMap
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Rows
from seglight.data.sources.folder_rows import MaskFile
from seglight.data.sources.paths import HIDDEN
from seglight.errors import DataError

#: The columns: the archive of each image and its number there; the same for its mask, -1 if there is none.
TYPES = {'archive': '<i4', 'image': '<i8', 'mask_archive': '<i4', 'mask': '<i8'}


class ArchiveRows(Rows):
    """The images of archives.

    Args:
        archives: the archives.
        images: beginning of the names of images.
        masks: beginning of the names of masks, None for no masks.
        mask_suffix: end of the names of masks.
        labels: from labels in the masks to classes.

    Raises:
        DataError: if there is no image, or two have the same name.
    """

    def __init__(
        self, archives: Sequence[Archive], images: str, masks: str | None, mask_suffix: str, labels: LabelMap
    ) -> None:
        self.archives = archives
        self.prefix = images
        self.masks = masks
        self.mask_suffix = mask_suffix
        self.map = labels
        self.labelled = masks is not None
        self.remote = any(each.remote is not None for each in archives)
        layout = f'{images} {masks} {mask_suffix}'
        self.name = f'archives {[each.place for each in archives]} {layout}'
        self.key = f'{[each.status for each in archives]} {layout}'
        kept = f'{self.name} {self.key}' if all(each.is_settled() for each in archives) else ''
        self.columns = cached(self.name, kept, TYPES, self._is_sound, self._made)

    def _is_sound(self, columns: Columns) -> bool:
        """Return whether columns from the cache fit the archives."""
        counts = np.array([len(each.names) for each in self.archives])
        count = len(columns['image'])
        if not count or any(len(column) != count for column in columns.values()):
            return False
        return all(
            bool((columns[of] >= 0).all() and (columns[of] < len(counts)).all())
            and bool((columns[number] >= least).all() and (columns[number] < counts[columns[of]]).all())
            for of, number, least in (('archive', 'image', 0), ('mask_archive', 'mask', -1))
        )

    def _made(self) -> dict[str, Array]:
        """Find the images and their masks."""
        columns = {name: array(kind) for name, kind in zip(TYPES, 'iqiq', strict=True)}
        hashes = array('q')
        for number, archive in enumerate(self.archives):
            names = list(archive.names)
            known = {} if self.masks is None else {name: at for at, name in enumerate(names)}
            for at, name in enumerate(names):
                if not self._is_image(name):
                    continue
                stem = self._stem(name)
                hashes.append(hash(stem))
                mask = self._mask(f'{self.masks}{stem}{self.mask_suffix}', number, known)
                for column, value in zip(columns.values(), (number, at, *mask), strict=True):
                    column.append(value)
        if not hashes:
            where = f'{self.archives[0].path} ({len(self.archives)} archives)'
            raise DataError(f'{where} contains no image in {self.prefix or "it"}; correct path or img_dir')
        found = {name: np.frombuffer(values, TYPES[name]) for name, values in columns.items()}
        self._check_names(found, np.frombuffer(hashes, np.int64))
        return found

    def _mask(self, name: str, number: int, known: dict[str, int]) -> tuple[int, int]:
        """Return the archive of a mask and its number there, -1 if there is none."""
        if self.masks is None:
            return 0, -1
        if name in known:
            return number, known[name]
        for other, archive in enumerate(self.archives):
            at = archive.find(name) if other != number else None
            if at is not None:
                return other, at
        return 0, -1

    def _is_image(self, name: str) -> bool:
        """Return whether a member is an image of the source, and not hidden."""
        if not name.startswith(self.prefix) or name[name.rfind('.') :].lower() not in IMAGE_SUFFIXES:
            return False
        below = f'/{name[len(self.prefix) :]}'
        is_mask = not self.prefix and bool(self.masks) and name.startswith(self.masks or '')
        return not is_mask and not any(f'/{start}' in below for start in HIDDEN)

    def _stem(self, name: str) -> str:
        """Return the name of an image: its path below the folder, without suffix."""
        return name[len(self.prefix) : name.rfind('.')]

    def _check_names(self, columns: dict[str, Array], hashes: Array) -> None:
        """Reject two images with one name."""
        order = np.argsort(hashes, kind='stable')
        for at in np.flatnonzero(np.diff(hashes[order]) == 0).tolist():
            one, other = (self._member(columns, row) for row in sorted(order[at : at + 2].tolist()))
            if self._stem(one[1]) == self._stem(other[1]):
                both = f'{one[0].path / one[1]} and {other[0].path / other[1]}'
                raise DataError(f'{both} have the same name; rename one, or give each its own source')

    def _member(self, columns: Columns | dict[str, Array], row: int) -> tuple[Archive, str]:
        archive = self.archives[int(columns['archive'][row])]
        return archive, archive.names[int(columns['image'][row])]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.columns['image'])

    def folders(self) -> list[str]:
        """Return the archives, whose state tells whether files have changed."""
        return [str(each.path) for each in self.archives]

    def sample(self, row: int) -> Sample:
        """Return an image with its mask."""
        archive, member = self._member(self.columns, row)
        image, name = archive.path / member, self._stem(member)
        if self.masks is None:
            return Sample(image, name)
        number = int(self.columns['mask'][row])
        if number < 0:
            missing = f'{self.masks}{name}{self.mask_suffix} is in none of the archives'
            return Sample(image, name, fault=f'{image} has no mask: {missing}; add the mask or remove the image')
        holder = self.archives[int(self.columns['mask_archive'][row])]
        return Sample(image, name, MaskFile(holder.path / holder.names[number], self.map))

    def _members(self) -> Iterator[tuple[Archive, str]]:
        """Yield archive and member of each image."""
        ends = np.searchsorted(self.columns['archive'], np.arange(len(self.archives) + 1)).tolist()
        for archive, first, last in zip(self.archives, ends, ends[1:], strict=False):
            names = list(archive.names)
            yield from ((archive, names[at]) for at in self.columns['image'][first:last].tolist())

    def names(self) -> Iterator[str]:
        """Yield the names of the images."""
        return (self._stem(member) for _, member in self._members())

    def images(self) -> Iterator[str]:
        """Yield the paths of the images."""
        return (f'{archive.path}/{member}' for archive, member in self._members())

    def faults(self) -> Iterator[str]:
        """Yield the faults in names, of which archives have none."""
        return iter(())
