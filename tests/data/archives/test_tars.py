"""Members of tars are found and read as Python's `tarfile` finds and reads them, and odd tars are refused."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from seglight.data.archives.index import find_member, open_archive
from seglight.errors import DataError

CONTENT = {'img_dir/a.jpg': b'first', f'{"long/" * 30}{"ä" * 90}.jpg': b'second' * 999, 'c': b'', 'd' * 99: b'x' * 512}


def written(path: Path, kind: int = tarfile.GNU_FORMAT, change: Callable[[tarfile.TarInfo], object] = id) -> Path:
    with tarfile.open(path, 'w', format=kind) as archive:
        folder = tarfile.TarInfo('img_dir')
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in CONTENT.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize('kind', [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_those_that_tarfile_reads(tmp_path: Path, kind: int) -> None:
    path = written(tmp_path / 'a.tar', kind)
    with tarfile.open(path) as archive:
        files = [info for info in archive if info.isreg()]
        assert list(open_archive(path).names) == [info.name for info in files] == list(CONTENT)
        for info in files:
            member = find_member(path / info.name)
            assert member is not None
            assert (member.start, member.size) == (info.offset_data, info.size)
            if info.size:
                assert member.read() == CONTENT[info.name]


def test_dots_before_names_and_prefixes_of_ustar_are_read(tmp_path: Path) -> None:
    name = f'{"p" * 90}/{"q" * 90}.jpg'
    with tarfile.open(tmp_path / 'a.tar', 'w', format=tarfile.USTAR_FORMAT) as archive:
        for each in ('./img_dir/a.jpg', name):
            archive.addfile(tarfile.TarInfo(each))
    assert list(open_archive(tmp_path / 'a.tar').names) == ['img_dir/a.jpg', name]


def test_other_members_than_files_are_refused_in_one_line(tmp_path: Path) -> None:
    def of(kind: bytes) -> Callable[[tarfile.TarInfo], object]:
        def change(info: tarfile.TarInfo) -> None:
            info.type, info.linkname, info.size = kind, '/etc/passwd', 0

        return change

    def named(name: str) -> Callable[[tarfile.TarInfo], object]:
        return lambda info: setattr(info, 'name', name)

    for number, (change, message) in enumerate(
        [
            (of(tarfile.SYMTYPE), "its member 'img_dir/a.jpg' is a link"),
            (of(tarfile.LNKTYPE), 'is a link'),
            (of(tarfile.CHRTYPE), 'is a device or a pipe'),
            (of(tarfile.FIFOTYPE), 'is a device or a pipe'),
            (of(b'S'), 'is of an unknown kind'),
            (named('/etc/passwd'), "'/etc/passwd' leads out of its folder"),
            (named('a/../../b'), 'leads out of its folder'),
            (named('same.jpg'), "two of its members are named 'same.jpg'"),
        ]
    ):
        path = written(tmp_path / f'{number}.tar', change=change)
        with pytest.raises(DataError, match=rf'{path.name} is refused: .*{message}') as error:
            open_archive(path)
        assert '\n' not in str(error.value)


def header(name: bytes, size: bytes, kind: bytes = b'0') -> bytes:
    fields = name.ljust(100, b'\0') + b'0000644\0' * 3 + size.ljust(12, b'\0') + b'0' * 11 + b'\0'
    rest = (kind.ljust(101, b'\0') + b'ustar\0' + b'00').ljust(512 - 156, b'\0')
    total = sum(fields) + 8 * 32 + sum(rest)
    return fields + f'{total:06o}\0 '.encode() + rest


def test_damaged_tars_and_sizes_that_are_none_are_refused(tmp_path: Path) -> None:
    good = written(tmp_path / 'good.tar').read_bytes()
    end, zeros = good.index(b'x' * 512) + 512, bytes(1024)
    pax = b'16 GNU.sparse=1\n'
    damaged = {
        'cut off in a member': (good[: end - 600], 'is cut off'),
        'cut off after a member': (good[:end], 'its end is missing'),
        'not one': (b'no tar' * 200, 'it is not a plain tar'),
        'flipped': (good[:600] + bytes([good[600] ^ 1]) + good[601:], 'damaged'),
        'negative': (header(b'a', b'\xff' * 12) + zeros, 'it is cut off or damaged'),
        'huge': (header(b'a', b'\x80' + b'\x7f' * 11) + zeros, 'it is cut off or damaged'),
        'long name': (header(b'a', b'77777777777', b'L') + zeros, 'it is cut off or damaged'),
        'long fields': (header(b'a', b'10000000', b'x') + bytes(1 << 21), 'one of its headers has 2,097,152 bytes'),
        'wrong fields': (header(b'a', b'5', b'x') + b'9 a=b'.ljust(512, b'\0') + zeros, 'it is damaged'),
        'sparse': (header(b'a', b'20', b'x') + pax.ljust(512, b'\0') + zeros, 'one of its members is sparse'),
    }
    for name, (data, message) in damaged.items():
        (tmp_path / f'{name}.tar').write_bytes(data)
        with pytest.raises(DataError, match=message):
            open_archive(tmp_path / f'{name}.tar')
