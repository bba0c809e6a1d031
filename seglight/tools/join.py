"""Put the parts of a prediction together: what one run would have written, byte for byte."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import yaml

from seglight.counting import counted
from seglight.errors import DataError, UsageError, warn
from seglight.files import made_atomically, write_atomically, writing_to
from seglight.names import path_below
from seglight.noted_images import note_images
from seglight.parts import (
    FACTS,
    IMAGES,
    MASKS,
    PSEUDO,
    PSEUDO_CONFIG,
    RECORD,
    Part,
    Record,
    pseudo_folders,
    read_record,
)
from seglight.plain_text import load_yaml_file
from seglight.report.run import first_difference
from seglight.run_lock import PREDICTS, RunLock
from seglight.tools.joined_files import JOINERS


class Share(NamedTuple):
    """The folder of a part, with its record."""

    folder: Path
    record: Record

    @property
    def part(self) -> Part:
        """Which part it is."""
        return Part.parse(self.record.part)


def join_parts(inputs: Sequence[Path], output: Path) -> tuple[int, int]:
    """Write what one run would have written, and return the numbers of images and of parts.

    The files of single images are hard links where the file system allows it. The folder appears when it is complete.

    Args:
        inputs: the folders of parts, or folders that contain them.
        output: the folder to write; it must not exist.

    Raises:
        UsageError: if a part is missing, incomplete, given twice, or belongs to another prediction.
        DataError: if images could not be predicted; all others are then written.
    """
    if output.exists() or output.is_symlink():
        raise UsageError(f'join: {output} exists; choose another --output or remove it')
    shares = checked([Share(folder, read_record(folder)) for folder in _folders(inputs)])
    with writing_to(output, 'choose another --output'), made_atomically(output) as folder:
        _join(shares, folder, output)
    failed = [name for share in shares for name in share.record.failed]
    if failed:
        raise DataError(
            f'{counted(len(failed), "image")} could not be predicted; all others are in {output}: {failed[0]}'
        )
    return shares[0].record.count, len(shares)


def _folders(inputs: Sequence[Path]) -> Iterator[Path]:
    """Yield the folders of the parts."""
    for path in inputs:
        found = [path] if (path / RECORD).is_file() else sorted(file.parent for file in path.glob(f'*/{RECORD}'))
        if not found:
            raise UsageError(f'join: {path} contains no part of a prediction; predict --part writes them')
        yield from found


def checked(shares: Sequence[Share]) -> list[Share]:
    """Return the shares in order, after checking that they are the whole of one prediction.

    Raises:
        UsageError: names the first part that is missing, incomplete, given twice or different.
    """
    first, *others = shares
    for share in others:
        _check_same(first, share)
    ordered = sorted(shares, key=lambda share: share.part.number)
    for before, after in itertools.pairwise(ordered):
        if before.part == after.part:
            raise UsageError(f'join: part {after.part} is given twice: {before.folder} and {after.folder}')
    missing = sorted(set(range(1, first.part.parts + 1)) - {share.part.number for share in ordered})
    if missing:
        more = f' (and {len(missing) - 1} more)' if missing[1:] else ''
        raise UsageError(f'join: part {missing[0]} of {first.part.parts}{more} is missing')
    ends = [0, *(share.record.end for share in ordered)]
    starts = [*(share.record.first for share in ordered), first.record.count]
    for place, (end, start) in enumerate(zip(ends, starts, strict=True)):
        if end != start:
            what = 'leave a gap' if start > end else 'overlap'
            place = min(max(place, 1), len(ordered) - 1)
            raise UsageError(f'join: {ordered[place - 1].folder} and {ordered[place].folder} {what} at image {end + 1}')
    for share in ordered:
        _check_done(share)
    return ordered


def _check_same(first: Share, other: Share) -> None:
    """Check that two parts belong to one prediction."""
    a, b = first.record, other.record
    if first.part.parts != other.part.parts:
        raise UsageError(f'join: {first.folder} is part {a.part}, and {other.folder} is part {b.part}')
    if (a.images, a.count) != (b.images, b.count):
        counts = f'{counted(a.count, "image")} and {counted(b.count, "image")}'
        raise UsageError(f'join: {first.folder} and {other.folder} are parts of different lists of images: {counts}')
    if changed := first_difference(a.settings, b.settings):
        key, before, after = changed
        raise UsageError(f'join: {key} is {before} in {first.folder}, and {after} in {other.folder}')
    if (a.folders, a.files) != (b.folders, b.files):
        raise UsageError(f'join: {first.folder} and {other.folder} have different kinds of files')
    if a.versions != b.versions:
        names = dict.fromkeys([*a.versions, *b.versions])
        pairs = ((name, a.versions.get(name), b.versions.get(name)) for name in names)
        differing = (f'{name} {ours} and {theirs}' for name, ours, theirs in pairs if ours != theirs)
        warn(f'{first.folder} and {other.folder} were predicted by different versions: {", ".join(differing)}')


def _check_done(share: Share) -> None:
    """Check that a part is complete, and that no process predicts into its folder."""
    RunLock(share.folder, use=PREDICTS, option='part').check()
    if not share.record.is_done:
        raise UsageError(f'join: {share.folder} is not complete; predict part {share.part} again with --resume')


def _join(shares: Sequence[Share], folder: Path, output: Path) -> None:
    """Write all files into a folder that will become `output`."""
    folder, record = folder.resolve(), shares[0].record
    write_atomically(folder / FACTS, _bytes_of(shares[0].folder / FACTS))
    for name, suffix in record.folders.items():
        for share in shares:
            if name == PSEUDO:
                _link_pseudo_labels(share, folder / PSEUDO)
            else:
                _link_files(share, path_below(share.folder, name), path_below(folder, name), suffix)
    if PSEUDO in record.folders:
        write_atomically(folder / PSEUDO / PSEUDO_CONFIG, _pseudo_config(shares[0].folder, output))
    for name, kind in record.files.items():
        if kind not in JOINERS:
            raise UsageError(f'join: {shares[0].folder / RECORD} names an unknown kind of file, {kind!r}')
        target = path_below(folder, name)
        with target.open('wb') as file:
            JOINERS[kind]([(path_below(share.folder, name), share.record.predicted_stems) for share in shares], file)
        if not any(share.record.failed for share in shares):
            note_images(target, (stem for share in shares for stem in share.record.stems))


def _link_files(share: Share, source: Path, target: Path, suffix: str) -> None:
    """Link the file of each image of a share."""
    for stem in share.record.predicted_stems.values():
        _link(share, path_below(source, stem, suffix), path_below(target, stem, suffix))


def _link_pseudo_labels(share: Share, target: Path) -> None:
    """Link the masks of pseudo labels and their images, whose files may have another suffix than their names."""
    source = share.folder / PSEUDO
    _link_files(share, source / MASKS, target / MASKS, '.png')
    for name, stem in share.record.predicted_stems.items():
        image = path_below(source / IMAGES, stem, Path(name).suffix)
        if not image.exists() and not image.is_symlink():
            image = next((path for path in image.parent.glob('*') if path.stem == Path(stem).name), image)
        _link(share, image, path_below(target / IMAGES, stem, image.suffix))


def _link(share: Share, source: Path, target: Path) -> None:
    """Make a file the same as another: a symbolic link stays one, others become hard links, or copies.

    Raises:
        UsageError: if it is missing, or another image has its place or, perhaps as a link to anywhere, that of its
            folder.
    """
    if not source.is_file() and not source.is_symlink():
        raise UsageError(f'join: {source} is missing; predict part {share.part} again with --resume')
    if not _made(target.parent) or target.exists() or target.is_symlink():
        raise UsageError(f'join: {source} has the place of another image; predict part {share.part} again')
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


@lru_cache(maxsize=4096)
def _made(folder: Path) -> bool:
    """Make a folder, and return true; false if a link would be on the way to it, which a part may have brought."""
    if folder.resolve() != folder:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    return True


def _pseudo_config(source: Path, output: Path) -> bytes:
    """Return the config of pseudo labels for the joined folder."""
    path = source / PSEUDO / PSEUDO_CONFIG
    values = load_yaml_file(path)
    try:
        values['data']['train'][-1] |= pseudo_folders(output / PSEUDO)
    except (TypeError, LookupError) as error:
        raise UsageError(f'join: {path} is damaged; predict the part again') from error
    return yaml.safe_dump(values, sort_keys=False).encode()


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f'join: {path} cannot be read: {error.strerror}') from error
