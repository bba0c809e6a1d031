"""What a source of samples is, and what a sample is."""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglight.array_types import UInt8Array
from seglight.errors import DataError


class Annotation(ABC):
    """The labels of one image, wherever they are kept; its text names the file in errors."""

    @abstractmethod
    def read(self) -> UInt8Array:
        """Return the class of each pixel, uint8 `[H, W]`.

        Raises:
            DataError: if it cannot be read.
        """

    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Return height and width, without decoding.

        Raises:
            DataError: if it cannot be read.
        """

    @property
    @abstractmethod
    def path(self) -> Path:
        """The file that holds it."""

    def fingerprint(self) -> str:
        """Return a text that changes whenever what `read` returns may have changed."""
        return f'{self} {stamp(self.path)}'

    def __str__(self) -> str:
        """Return the file's path."""
        return str(self.path)


def stamp(path: Path) -> str:
    """Return size and time of change of a file, by which a changed one is known; nothing if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return ''
    return f'{status.st_size} {status.st_mtime_ns}'


def kind_of(path: Path) -> Literal['file', 'folder'] | None:
    """Return what lies at a path, None for nothing, as behind a link that leads nowhere.

    Raises:
        DataError: if it cannot be told, such as without permission.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error
    if not stat.S_ISDIR(mode):
        return 'file'
    if not os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids):  # none of its files is seen
        raise DataError(f'{path} cannot be read: {os.strerror(errno.EACCES)}')
    return 'folder'


@dataclass(frozen=True)
class Sample:
    """An image file, its name (the path without folder and suffix), and its labels, None where there are none.

    `repeat` is how often the sample is seen in an epoch of training, on average. `fault` says why it cannot be used,
    where its source knows without reading it. `only_train` keeps it from being validated on. `source` is the key of
    its source in the config.
    """

    image: Path
    name: str
    mask: Annotation | None = None
    repeat: float = 1.0
    fault: str | None = None
    only_train: bool = False
    source: str = ''


@dataclass(frozen=True)
class Context:
    """What a source needs to know of the run: the names, colours and ignore label of the data, and its root.

    `reduce_zero_label` is for folders of masks that do not say it themselves.
    """

    classes: Sequence[str]
    palette: Sequence[Sequence[int]] | None = None
    ignore_index: int = 255
    root: Path = Path()
    reduce_zero_label: bool = False

    def path(self, name: str) -> Path:
        """Return a path of a config, which is relative to `data.root`."""
        return self.root / Path(name).expanduser()


@dataclass(frozen=True)
class Ignored:
    """Why pixels of a source's masks are ignored.

    Attributes:
        cause: a clause, such as `255 is the ignored label`.
        setting: what to set in the source if the pixels are of a class, such as `label_map: {255: cat}`.
        chosen: whether the user asked for it; otherwise it may surprise.
    """

    cause: str
    setting: str
    chosen: bool = True


class Source(ABC):
    """Where samples come from. A subclass of one's own is named in a config by its class path."""

    @abstractmethod
    def samples(self, context: Context) -> list[Sample]:
        """Return the samples in a fixed order.

        Raises:
            DataError: names what is missing or wrong, and the cure.
        """

    def mask_folder(self, context: Context) -> Path | None:  # noqa: ARG002  (for the sources that have one)
        """Return the folder in which each mask should have an image; None if there is none, or a list names images."""
        return None

    def why_ignored(self, context: Context, name: str) -> Ignored | None:  # noqa: ARG002  (for the sources that know)
        """Return why pixels of the masks are ignored, None if the source cannot tell.

        Args:
            context: the names, colours and root of the data.
            name: the class that the pixels may be of.
        """
        return None
