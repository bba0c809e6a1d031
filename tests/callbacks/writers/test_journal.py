"""The journal of an interrupted prediction is untrusted data."""

import errno
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglight.callbacks.writers.journal import JournalWriter, _in_order, _read
from seglight.errors import UsageError

GOOD = b'"a"\t1 2\n"b"\t3 4\n'


class Lines(JournalWriter):
    """Writes the name of each image, many times."""

    def line(self, mask: Any, meta: Any) -> bytes:
        return bytes(meta['name'], 'ascii') * 3000

    def assemble(self, *_: Any) -> None:
        raise NotImplementedError


def test_complete_lines_are_read_and_an_incomplete_one_is_removed(tmp_path: Path) -> None:
    journal = tmp_path / '.a.csv.0.partial'
    journal.write_bytes(GOOD + b'"c"\t5')
    assert _read(journal) == {'a': (journal, 0), 'b': (journal, 8)}
    assert journal.read_bytes() == GOOD


@pytest.mark.parametrize(
    ('content', 'text'),
    [
        (b'[1]\tx\n', 'an image name must be a string, got [1]'),
        (b'{"a": 1}\tx\n', "an image name must be a string, got {'a': 1}"),
        (b'no json\tx\n', 'is not valid JSON'),
        (b'\xff\xfe\tx\n', 'is not valid JSON'),
        (b'[' * 100_000 + b'\n', 'is not valid JSON'),
    ],
)
def test_invalid_lines_are_reported_in_one_line(tmp_path: Path, content: bytes, text: str) -> None:
    journal = tmp_path / '.a.csv.0.partial'
    journal.write_bytes(content)
    with pytest.raises(UsageError, match='partial') as caught:
        _read(journal)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 300


def test_links_and_pipes_are_rejected(tmp_path: Path) -> None:
    victim = tmp_path / 'victim'
    victim.write_text('no line break')
    link, pipe = tmp_path / '.a.csv.0.partial', tmp_path / '.a.csv.1.partial'
    link.symlink_to(victim)
    os.mkfifo(pipe)
    for journal in (link, pipe):
        with pytest.raises(UsageError, match='is not a regular file; remove it'):
            _read(journal)
    assert victim.read_text() == 'no line break'


def test_lines_of_several_threads_stay_whole(tmp_path: Path) -> None:
    writer = Lines(tmp_path / 'a.csv')
    journal = tmp_path / '.a.csv.0.partial'
    names = [str(number) for number in range(300)]
    with journal.open('ab') as file, ThreadPoolExecutor(4) as pool:
        writer._file = file
        list(pool.map(lambda name: writer.write(np.zeros((1, 1), np.uint8), None, {'name': name}), names))
    lines = _read(journal)
    assert sorted(lines) == sorted(names)
    assert list(_in_order({name: lines[name] for name in names})) == [bytes(name, 'ascii') * 3000 for name in names]


def test_nothing_follows_a_line_that_was_written_in_part(tmp_path: Path) -> None:
    class Full(io.FileIO):
        """A file on a disk that is full for a moment."""

        def write(self, data: Any) -> int:
            if b'"b"' in bytes(data) and not self.was_full:
                self.was_full = True
                super().write(data[:10])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

        was_full = False

    writer, journal = Lines(tmp_path / 'a.csv'), tmp_path / '.a.csv.0.partial'
    writer._file = Full(journal, 'a')
    mask = np.zeros((1, 1), np.uint8)
    writer.write(mask, None, {'name': 'a'})
    with pytest.raises(OSError, match='No space'):
        writer.write(mask, None, {'name': 'b'})
    writer.write(mask, None, {'name': 'c'})
    writer._file.close()
    assert list(_read(journal)) == ['a']
