"""Base classes: a sample, its annotation, and the source of both."""

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
from seglight.data.places import is_member, status_of
from seglight.errors import DataError


class Annotation(ABC):
    """The labels of one image, in any format; `str` returns how errors name it.

    Attributes:
        own_file: whether its file contains the labels of no other image.
    """

    own_file = True

    @abstractmethod
    def read(self) -> UInt8Array:
        """Return the label of each pixel, uint8 `[H, W]`.

        Raises:
            DataError: if it cannot be read.
        """

    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Return height and width without decoding.

        Raises:
            DataError: if it cannot be read.
        """

    @property
    @abstractmethod
    def path(self) -> Path:
        """The file that contains it."""

    def fingerprint(self) -> str:
        """Return a text that changes whenever the result of `read` may have changed."""
        return f'{self} {stamp(self.path)}'

    def __str__(self) -> str:
        """Return the file's path."""
        return str(self.path)


def stamp(path: Path) -> str:
    """Return size and modification time of a file, to detect changes; empty if it is missing."""
    try:
        status = status_of(path)
    except (OSError, DataError):
        return ''
    return f'{status.size} {status.time}'


def kind_of(path: Path) -> Literal['file', 'folder'] | None:
    """Return whether a path is a file (or a member of an archive) or a folder; None if it is missing or a broken link.

    Raises:
        DataError: if it cannot be read, for example without permission.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return 'file' if is_member(path) else None
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from error
    if not stat.S_ISDIR(mode):
        return 'file'
    if not os.access(
        path, os.X_OK, effective_ids=os.access in os.supports_effective_ids
    ):  # its files are not accessible
        raise DataError(f'{path} cannot be read: {os.strerror(errno.EACCES)}')
    return 'folder'


def bad_name(image: Path | str, fault: str) -> str:
    """Return why an image cannot be used, from the fault of its name, which must not become part of a path."""
    return f'{str(image)!r}: its name {fault}; rename it'


@dataclass(frozen=True)
class Sample:
    """An image with its annotation.

    Attributes:
        image: the image file.
        name: its path below the folder of its source, without suffix.
        mask: its labels, None if it has none.
        repeat: how often it is used per epoch of training, on average.
        fault: why it cannot be used, if its source knows.
        only_train: whether it must not be validated on.
        source: config key of its source.
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
    """Settings in `data` for all sources."""

    classes: Sequence[str]
    palette: Sequence[Sequence[int]] | None = None
    ignore_index: int = 255
    root: Path = Path()
    reduce_zero_label: bool = False

    def path(self, name: str) -> Path:
        """Return a path from the config, which may be relative to `data.root`."""
        return self.root / Path(name).expanduser()


@dataclass(frozen=True)
class Ignored:
    """Why pixels of a source's masks are ignored.

    Attributes:
        cause: a clause, such as `255 is the ignored label`.
        setting: what to set in the source if the pixels belong to a class, such as `label_map: {255: cat}`.
        chosen: whether the user has configured it, so that it is no surprise.
    """

    cause: str
    setting: str
    chosen: bool = True


class Source(ABC):
    """A source of samples. A config may name a custom subclass by its class path."""

    @abstractmethod
    def samples(self, context: Context) -> Sequence[Sample]:
        """Return the samples in a fixed order.

        Raises:
            DataError: if something is missing or wrong.
        """

    def mask_folder(self, context: Context) -> Path | None:  # noqa: ARG002  (for subclasses)
        """Return the folder in which every mask should have an image; None if there is none, or if a list selects."""
        return None

    def why_ignored(self, context: Context, name: str) -> Ignored | None:  # noqa: ARG002  (for subclasses)
        """Return why pixels of the masks are ignored, None if unknown.

        Args:
            context: the classes, colours and root of the data.
            name: the class that the pixels may belong to.
        """
        return None
