"""Members of zips are found and read as Python's `zipfile` finds and reads them, and odd zips are refused."""

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seglight.data.archives import members, zips
from seglight.data.archives.index import find_member, open_archive
from seglight.errors import DataError

CONTENT = {'img_dir/a.jpg': b'first', 'img_dir/b/ä€ c.jpg': b'second' * 999, 'empty.txt': b''}


def written(path: Path, change: Callable[[zipfile.ZipInfo], object] = id, method: int = 0) -> Path:
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('img_dir/', b'')
        for name, data in CONTENT.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            change(info)
            archive.writestr(info, data)
    return path


def read(path: Path) -> bytes:
    member = find_member(path)
    assert member is not None
    with member.open() as file:
        assert file.read() == member.read()
        file.seek(-3, 2)
        assert file.read() == member.read()[-3:]
    return member.read()


def test_members_are_those_that_zipfile_reads(tmp_path: Path) -> None:
    path = written(tmp_path / 'a.zip')
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith('/')]
        assert list(open_archive(path).names) == names == list(CONTENT)
        for name in names[:2]:
            assert read(path / name) == archive.read(name) == CONTENT[name]
    with pytest.raises(FileNotFoundError):
        find_member(path / 'img_dir/c.jpg')
    assert find_member(tmp_path / 'img_dir/a.jpg') is None


def test_numbers_of_64_bits_and_further_fields_before_a_member_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, 'ZIP64_LIMIT', 10)
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in CONTENT.items():
            with archive.open(zipfile.ZipInfo(name), 'w', force_zip64=True) as file:
                file.write(data)
    monkeypatch.setattr(zips, '_FURTHER', 0)
    assert read(path / 'img_dir/b/ä€ c.jpg') == CONTENT['img_dir/b/ä€ c.jpg']
    assert b'PK\x06\x06' in path.read_bytes()


def test_a_changed_byte_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / 'a.zip')
    path.write_bytes(path.read_bytes().replace(b'first', b'fIrst'))
    member = find_member(path / 'img_dir/a.jpg')
    assert member is not None
    with pytest.raises(ValueError, match='its bytes in the archive are damaged'):
        member.read()


def symbolic(info: zipfile.ZipInfo) -> None:
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16


def named(name: str) -> Callable[[zipfile.ZipInfo], object]:
    return lambda info: setattr(info, 'filename', name)


def test_what_cannot_be_read_in_place_is_refused_in_one_line(tmp_path: Path) -> None:
    warnings.simplefilter('ignore')  # of `zipfile`, that the names of members are equal
    cases = [
        (written(tmp_path / 'link.zip', symbolic), "its member 'img_dir/a.jpg' is a link or not a regular file"),
        (
            written(tmp_path / 'deflated.zip', method=8),
            'is compressed; unpack it, or make it again without compression',
        ),
        (written(tmp_path / 'up.zip', named('../../etc/passwd')), "'../../etc/passwd' leads out of its folder"),
        (written(tmp_path / 'root.zip', named('/etc/passwd')), "'/etc/passwd' leads out of its folder"),
        (written(tmp_path / 'line.zip', named('a\nb.jpg')), 'has a control character or a line break'),
        (written(tmp_path / 'twice.zip', named('a.jpg')), "two of its members are named 'a.jpg'"),
    ]
    for path, message in cases:
        with pytest.raises(DataError, match=rf'{path.name} is refused: .*{message}') as error:
            open_archive(path)
        assert '\n' not in str(error.value)


def test_damaged_zips_are_refused_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = written(tmp_path / 'good.zip').read_bytes()
    directory = good.index(b'PK\1\2')
    end = struct.Struct('<4s4H2IH')
    fields = list(end.unpack(good[-end.size :]))
    damaged = {
        'cut off': (good[:-1], 'it is cut off'),
        'empty': (b'', 'it is empty'),
        'comment': (good[:-2] + b'\3\0abc', 'it is cut off, or not a zip without a comment'),
        'more entries': (good[: -end.size] + end.pack(*fields[:4], 9, *fields[5:]), 'its directory is damaged'),
        'fewer entries': (good[: -end.size] + end.pack(*fields[:4], 1, *fields[5:]), 'its directory is damaged'),
        'no entry': (good[:directory] + b'XX' + good[directory + 2 :], 'its directory is damaged'),
    }
    for name, (data, message) in damaged.items():
        (tmp_path / f'{name}.zip').write_bytes(data)
        with pytest.raises(DataError, match=rf'{name}.zip cannot be read: {message}'):
            open_archive(tmp_path / f'{name}.zip')
    with pytest.raises(DataError, match='does not exist'):
        open_archive(tmp_path / 'missing.zip')
    monkeypatch.setattr(members, 'MAX_MEMBERS', 2)
    (tmp_path / 'many.zip').write_bytes(good)
    with pytest.raises(DataError, match='it has more than 2 members'):
        open_archive(tmp_path / 'many.zip')


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('a.jpg', b'x' * 400)
        archive.writestr('b.jpg', b'y' * 400)
        archive.getinfo('b.jpg').header_offset = 5
    (tmp_path / 'a.zip').write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"its member 'a.jpg' has bytes of another one"):
        open_archive(tmp_path / 'a.zip')
