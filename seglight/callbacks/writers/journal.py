"""Write one file for all images, with a journal line for each image, so that an interrupted run can resume."""

from __future__ import annotations

import json
import threading
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pytorch_lightning import LightningModule, Trainer

from seglight.array_types import UInt8Array
from seglight.callbacks.writers.base import OTHER_FOLDER, RESUME, Kept, PredictionWriter, all_names
from seglight.counting import counted
from seglight.errors import UsageError, warn
from seglight.files import open_atomically, writing_to
from seglight.noted_images import has_images, note_images
from seglight.plain_text import load_json
from seglight.run_lock import RunLock


class JournalWriter(PredictionWriter):
    """Appends a line for each image to a hidden journal next to the target, and writes the target at the end.

    The target has the images in the order of the data, independent of the process that predicted them. If images could
    not be predicted, the journals stay, so that a resumed run adds those images.

    Args:
        path: the target.
        resume: continue the journals of an interrupted run; a target is complete if it was written for the same images,
            with the same settings.
        overwrite: replace an existing target.
    """

    #: The kind of the target, by which `seglight join` knows it.
    kind = ''

    def __init__(self, path: str | Path, resume: bool = False, overwrite: bool = False) -> None:
        self.path = Path(path)
        super().__init__(self.path.parent)
        self.resume = resume
        self.overwrite = overwrite
        self._complete = False
        self._is_damaged = False  #: whether the journal may end with a part of a line
        self._lines: dict[str, tuple[Path, int]] = {}
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self._run_lock: RunLock | None = None

    @abstractmethod
    def line(self, mask: UInt8Array, meta: dict[str, Any]) -> bytes:
        """Return the line of one image, without a line break."""

    @abstractmethod
    def assemble(self, file: BinaryIO, lines: Iterator[bytes], pl_module: LightningModule) -> None:
        """Write the target from the lines of all images."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Read the journals of an interrupted run, and open this process's journal.

        Raises:
            UsageError: if the target exists, and the run neither continues nor overwrites it, or if another process
                writes it.
        """
        super().setup(trainer, pl_module, stage)
        if stage != 'predict':
            return
        goes_on = self.resume and (self.is_current(self.path) or not self.path.exists())
        self._complete = goes_on and not self._journals() and has_images(self.path, all_names(trainer))
        if not (goes_on or self.overwrite) and self.path.exists():
            other = ', from a run with other settings' if self.resume else ''
            raise UsageError(f'{self.path} exists{other}; remove it, or choose another name with --remark')
        if trainer.is_global_zero:
            # Another process would remove the journals, or mix its lines into them.
            self._run_lock = RunLock(self.folder, self.path.name, 'writes it', '--output or --remark')
            self._run_lock.acquire()
        for journal in self._journals():
            if self.resume and self.is_current(journal):
                self._lines.update(_read(journal))
            elif trainer.is_global_zero:
                journal.unlink(missing_ok=True)
        trainer.strategy.barrier('journal')
        if not self._complete:
            own = self.path.with_name(f'.{self.path.name}.{trainer.global_rank}.partial')
            with writing_to(self.folder, OTHER_FOLDER):
                self._file = own.open('ab')

    def is_done(self, name: str) -> bool:
        """Return whether the line of an image exists."""
        return self._complete or name in self._lines

    def write(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> None:
        """Append the line of one image."""
        if self._file is None:
            return
        line = json.dumps(meta['name']).encode() + b'\t' + self.line(mask, meta) + b'\n'
        with self._lock:
            if self._is_damaged:
                return
            self._is_damaged = True
            self._file.write(line)
            self._file.flush()
            self._is_damaged = False

    def finish(self, trainer: Trainer) -> None:
        """Write the target from the journals of all processes, then remove these."""
        if self._file is None:
            return
        self._file.close()
        trainer.strategy.barrier('journals')
        if trainer.is_global_zero:
            self._write_target(all_names(trainer), trainer.lightning_module)

    def _write_target(self, names: list[str], pl_module: LightningModule) -> None:
        """Write the target; if no image is missing, note for which images it is, and remove the journals."""
        journals = self._journals()
        lines: dict[str, tuple[Path, int]] = {}
        for journal in journals:
            lines.update(_read(journal))
        if names:  # an earlier run may have had others
            lines = {name: lines[name] for name in names if name in lines}
        with open_atomically(self.path) as file:
            self.assemble(file, _in_order(lines), pl_module)
        missing = [name for name in names if name not in lines]
        if missing:
            count = counted(len(missing), 'image')
            warn(f'{self.path} lacks {count} that could not be predicted, such as {missing[0]}; {RESUME}')
            return
        note_images(self.path, names)
        for journal in journals:
            journal.unlink()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the target, and let other processes write to it."""
        super().teardown(trainer, pl_module, stage)
        self._release()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the journal, and keep it."""
        super().on_exception(trainer, pl_module, exception)
        if self._file is not None:
            with suppress(OSError):  # it flushes once more what could not be written
                self._file.close()
        self._release()

    def _release(self) -> None:
        """Release the journals for other runs."""
        if self._run_lock:
            self._run_lock.release()

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob(f'.{self.path.name}.*.partial'))


def _read(journal: Path) -> dict[str, tuple[Path, int]]:
    """Return the file and the offset of each image's line; remove an incomplete last line."""
    lines: dict[str, tuple[Path, int]] = {}
    with _opened(journal) as file:
        start = 0
        for line in file:
            if not line.endswith(b'\n'):
                file.truncate(start)
                break
            name = load_json(line.partition(b'\t')[0], str(journal))
            if not isinstance(name, str):
                raise UsageError(f'{journal} is damaged: an image name must be a string, got {name!r:.80}; remove it')
            lines[name] = (journal, start)
            start += len(line)
    return lines


def _opened(journal: Path) -> BinaryIO:
    """Open a journal for reading and truncating, but not a link, which could point to any file.

    Raises:
        UsageError: if it is not a regular file.
    """
    if journal.is_symlink() or not journal.is_file():
        raise UsageError(f'{journal} is not a regular file; remove it')
    return journal.open('rb+')


def _in_order(lines: dict[str, tuple[Path, int]]) -> Iterator[bytes]:
    """Yield the lines in their order."""
    files: dict[Path, BinaryIO] = {}
    try:
        for path, start in lines.values():
            file = files.setdefault(path, path.open('rb')) if path not in files else files[path]
            file.seek(start)
            yield file.readline().partition(b'\t')[2].rstrip(b'\n')
    finally:
        for file in files.values():
            file.close()
