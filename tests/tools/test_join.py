"""`predict --part` and `seglight join`: parts put together are what one run writes."""

import io
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Result

from seglight.callbacks import CocoWriter, RunLengthWriter, SubmissionWriter, ZipWriter
from seglight.callbacks.writers.journal import JournalWriter
from seglight.errors import UsageError
from seglight.parts import FACTS, Record, read_record
from seglight.tools.join import Share, checked, join_parts
from seglight.tools.joined_files import JOINERS

Run = Callable[..., Result]


@pytest.fixture(scope='module')
def photos(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty images."""
    folder = tmp_path_factory.mktemp('photos')
    images = sorted((data_root / 'img_dir' / 'train').iterdir())
    for number in range(20):
        shutil.copy(images[number % len(images)], folder / f'{number:02}.jpg')
    return folder


@pytest.fixture
def words(trained: Path, workspace: Path, photos: Path) -> list[Any]:
    """The command that predicts the twenty images, without its output folder."""
    return ['predict', '--ckpt', trained / 'epoch_2.ckpt', '--input', photos, '--data.num_workers=0', '--output']


#: Predicts in turn, each time in a fork of a process that has not started threads yet; `kill -9` ends each fork after
#: its last batch, with masks but without the files of all images.
KILLED = """
import json, os, signal, sys, time
from pathlib import Path
from seglight import __main__ as seglight
from seglight.cli import command_line
from seglight.callbacks import PredictionSummary

def kill(self, trainer, pl_module):
    while not list((self.folder / 'masks').glob('*.png')):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)

PredictionSummary.on_predict_epoch_end = kill
for argv in json.loads(sys.argv[1]):
    if not (child := os.fork()):
        os._exit(seglight.run(argv))
    print(os.WTERMSIG(os.waitpid(child, 0)[1]), file=sys.stderr)
"""


def signals_that_ended(*commands: list[Any]) -> list[int]:
    """Run commands in processes of their own, and return the signal that ended each."""
    argv = [[str(word) for word in words] for words in commands]
    words = [sys.executable, '-c', KILLED, json.dumps(argv)]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, timeout=100)
    return [int(line) for line in done.stderr.splitlines()[-len(commands) :]]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, except locks and the contact sheet."""
    files = (path for path in folder.rglob('*') if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return {name: data for name, data in found.items() if name != 'contact_sheet.jpg' and not name.endswith('.lock')}


@pytest.mark.slow
def test_eight_parts_of_which_three_were_killed_are_one_run(words: list[Any], run: Run, workspace: Path) -> None:
    flags = ['--overlays', '--coco', '--submission', '--probabilities', 'float16', '--pseudo-labels', '0.2']
    flags += ['--data.batch_size=2']
    whole = run(*words, 'joined', *flags)  # data.yaml names its folder, so that the parts are joined at its place
    assert whole.status == 0, whole.err
    Path('joined').rename('whole')
    parts = [[*words, 'out', *flags, f'--part={n}/8'] for n in (1, 4, 7)]
    assert signals_that_ended(*parts) == [signal.SIGKILL] * 3
    for number in (2, 3, 5, 6, 8):
        done = run(*words, 'out', *flags, '--part', str(number), 'of', '8')
        assert done.status == 0, done.err
    for number in (1, 4, 7):
        done = run('join', 'out', '--output', 'joined')
        assert f'out/part_{number}_of_8 is not complete; predict part {number} of 8 again with --resume' in done.err
        resumed = run(*words, 'out', *flags, f'--part={number}/8', '--resume')
        assert resumed.status == 0, resumed.err
        assert not Path('joined').exists()
    done = run('join', 'out', '--output', 'joined')
    assert done.status == 0, done.err
    assert done.out == 'joined has the predictions of 20 images from 8 parts\n'
    assert contents(Path('joined')) == contents(Path('whole'))
    notes = {f'.{name}.images' for name in ('predictions.json', 'epoch_2.csv')}
    assert {path.name for path in Path('joined').glob('.*')} == notes
    again = run('join', 'out', '--output', 'joined')
    assert again.err == 'seglight: join: joined exists; choose another --output or remove it\n'
    _refuses_what_does_not_belong_together(words, flags, run)


def _refuses_what_does_not_belong_together(words: list[Any], flags: list[str], run: Run) -> None:
    """Check the parts of `out` with one removed, given twice or changed, one at a time."""
    second, third = (Path(f'out/part_{number}_of_8') for number in (2, 3))

    def error(*folders: Path) -> str:
        done = run('join', *(folders or ['out']), '--output', 'other')
        assert done.status == 2
        assert not Path('other').exists()
        assert not list(Path().glob('.*.tmp'))
        assert done.err.count('\n') == 1
        return done.err

    def changed(**values: Any) -> str:
        record = json.loads((second / 'part.json').read_text())
        (second / 'part.json').write_text(json.dumps({**record, **values}))
        text = error()
        (second / 'part.json').write_text(json.dumps(record))
        return text

    second.rename('elsewhere')
    assert 'part 2 of 8 is missing' in error()
    Path('elsewhere').rename(second)
    assert f'part 2 of 8 is given twice: {second} and {second}' in error(Path('out'), second)
    assert 'contains no part of a prediction' in error(Path('joined'))
    record = read_record(second)
    assert 'leave a gap at image 3' in changed(names=record.names[1:], stems=record.stems[1:], first=record.first + 1)
    assert 'overlap at image' in changed(names=record.names, first=record.first - 1)
    assert 'parts of different lists of images: 20 images and 21 images' in changed(count=21)
    assert 'different lists of images' in changed(images='0' * 64)
    assert 'is part 1 of 8, and out/part_2_of_8 is part 2 of 4' in changed(part='2 of 4')
    other = {**record.settings, 'predicted_by': {**record.settings['predicted_by'], 'checkpoint': 'other.ckpt'}}
    assert 'predicted_by.checkpoint is epoch_2.ckpt, ' in changed(settings=other)
    assert 'data.image_range is null in out/part_1_of_8, and 7 in out/part_2_of_8' in changed(
        settings={**record.settings, 'data': {**record.settings['data'], 'image_range': 7}}
    )
    assert 'part.json is damaged; predict the part again' in changed(names=[1])
    mask = second / 'masks/02.png'
    mask.rename('02.png')
    assert 'masks/02.png is missing; predict part 2 of 8 again with --resume' in error()
    Path('02.png').rename(mask)
    rows = (third / 'epoch_2.csv').read_bytes()
    for text in (rows[:-1], rows[: rows.rindex(b'\n', 0, -1) + 1], rows + rows[rows.index(b'\n') + 1 :]):
        (third / 'epoch_2.csv').write_bytes(text)
        assert 'part_3_of_8/epoch_2.csv is damaged' in error()
    (third / 'epoch_2.csv').write_bytes(rows)
    for flag, message in (
        ('--data.batch_size=1', 'was predicted with '),
        ('--data.image_range=7', 'a different data.im'),
    ):
        done = run(*words, 'out', *flags, '--part', '1/8', '--resume', flag)
        assert done.status == 2
        assert message in done.err
    assert run('join', 'out', '--output', 'other').status == 0


def test_an_image_that_cannot_be_predicted_is_named_by_the_part_and_the_join(
    words: list[Any], run: Run, photos: Path
) -> None:
    own = Path(shutil.copytree(photos, 'own'))
    good = (own / '03.jpg').read_bytes()
    (own / '03.jpg').write_bytes(good[:200])
    words = [*words[:4], own, *words[5:]]
    for number in (1, 2):
        part = [*words, 'out', '--submission', '--part', f'{number}/2']
        assert run(*part).status == (2 if number == 1 else 0)
    joined = run('join', 'out', '--output', 'joined')
    assert joined.status == 2
    assert '1 image could not be predicted; all others are in joined: 03.jpg' in joined.err
    assert len(list(Path('joined/masks').iterdir())) == 19
    (own / '03.jpg').write_bytes(good)  # a resumed run predicts it, also for the file of all images
    assert run(*words, 'out', '--submission', '--part=1/2', '--resume').status == 0
    assert run('join', 'out', '--output', 'mended').status == 0
    assert run(*words, 'whole', '--submission').status == 0
    assert contents(Path('mended')) == contents(Path('whole'))


@pytest.mark.parametrize('part', ['0 of 8', '9 of 8', '3', '3 of', 'three/8', '1/21'])
def test_a_part_that_does_not_exist_is_refused(words: list[Any], run: Run, part: str) -> None:
    done = run(*words, 'out', '--part', part)
    assert done.status == 2
    text = 'must look like' if part != '1/21' else '20 images cannot be divided into 21 parts; use at most 20'
    assert text in done.err


class Module:
    """The module whose classes writers name."""

    classes = ('background', 'cat', 'dog')


@pytest.mark.parametrize('ending', ['.jpg', '_leftImg8bit.png', '.tar.gz'])
@pytest.mark.parametrize('kind', [SubmissionWriter, RunLengthWriter, ZipWriter, CocoWriter])
def test_files_of_all_images_are_joined_to_the_bytes_that_a_writer_writes(
    kind: type[JournalWriter], ending: str, tmp_path: Path
) -> None:
    writer = kind(tmp_path / 'whole')
    writer.palette = [[0, 0, 0], [255, 0, 0], [0, 255, 0]]
    names = ['a', 'a b', 'c,d', 'x/"q"', 'x/y', 'ü']
    masks = np.random.default_rng(1).integers(0, 3, (len(names), 5, 7), dtype=np.uint8)
    masks[1] = 0
    lines = [
        writer.line(mask, {'name': name, 'path': f'/in/{name}{ending}'})
        for name, mask in zip(names, masks, strict=True)
    ]

    def written(own: list[bytes]) -> bytes:
        file = io.BytesIO()
        writer.assemble(file, iter(own), Module())  # type: ignore[arg-type]
        return file.getvalue()

    files = []
    for number, (start, end) in enumerate([(0, 1), (1, 4), (4, 6)]):
        path = tmp_path / str(number)
        path.write_bytes(written(lines[start:end]))
        files.append((path, {f'{name}{ending}': name for name in names[start:end]}))
    joined = io.BytesIO()
    JOINERS[writer.kind](files, joined)
    assert joined.getvalue() == written(lines)
    path, own = files[1]
    for wrong in (dict([*own.items()][:-1]), dict(reversed(own.items())), {**own, 'more.jpg': 'more'}):
        with pytest.raises(UsageError, match='is damaged'):
            JOINERS[writer.kind]([(path, wrong)], io.BytesIO())
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UsageError, match=r'1 is (damaged|not valid JSON)'):
        JOINERS[writer.kind](files, io.BytesIO())
    path.unlink()
    with pytest.raises(UsageError, match='1 is missing'):
        JOINERS[writer.kind](files, io.BytesIO())


def test_an_interrupted_join_leaves_nothing(
    words: list[Any], run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        assert run(*words, 'out', '--part', f'{number}/2').status == 0
    before = sorted(workspace.rglob('*'))
    count = 0

    def interrupted(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == 15:
            raise KeyboardInterrupt
        raise OSError  # as a file system without links

    monkeypatch.setattr(Path, 'hardlink_to', interrupted)
    with pytest.raises(KeyboardInterrupt):
        join_parts([Path('out')], Path('joined'))
    assert sorted(workspace.rglob('*')) == before
    count = 20
    assert join_parts([Path('out')], Path('joined')) == (20, 2)
    assert len(list(Path('joined/masks').iterdir())) == 20


def strange_part(folder: Path, number: int, stems: list[str]) -> Path:
    """Write the record of one of two parts, each with two images."""
    part = folder / f'part{number}'
    (part / 'masks').mkdir(parents=True)
    (part / FACTS).touch()
    names = [f'{stem}.jpg' for stem in stems]
    record = Record(f'{number} of 2', 2 * number - 2, 4, '', names, stems, folders={'masks': ''}, is_done=True)
    record.write(part)
    return part


def test_a_warning_names_only_the_versions_that_differ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = []
    for number, versions in enumerate([{'seglight': '1.0', 'torch': '2.8'}, {'seglight': '1.0', 'torch': '2.9'}], 1):
        folder = strange_part(tmp_path, number, ['a', 'b'])
        record = replace(read_record(folder), versions=versions)
        shares.append(Share(folder, record))
    assert checked(shares) == shares
    assert capsys.readouterr().err.endswith(' were predicted by different versions: torch 2.8 and 2.9\n')


@pytest.mark.parametrize('second', ['a/victim', 'a/deep/er/victim', 'link'])
def test_the_links_of_a_strangers_part_lead_nowhere(second: str, tmp_path: Path) -> None:
    home = tmp_path / 'home'
    (home / 'own').mkdir(parents=True)
    (home / 'victim').write_text('own')
    before = sorted(home.rglob('*'))
    parts = [
        strange_part(tmp_path, number, stems) for number, stems in enumerate([['a', 'link'], [second, 'last']], start=1)
    ]
    (parts[0] / 'masks' / 'a').symlink_to(home)
    (parts[0] / 'masks' / 'link').symlink_to(home / 'victim')
    for stem in (second, 'last'):
        file = parts[1] / 'masks' / stem
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('evil')
    with pytest.raises(UsageError, match=f'masks/{second} has the place of another image; predict part 2 of 2 again'):
        join_parts(parts, tmp_path / 'joined')
    assert (home / 'victim').read_text() == 'own'
    assert sorted(home.rglob('*')) == before
    assert not (tmp_path / 'joined').exists()


@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_zip_that_would_grow_when_it_is_read_is_refused(method: int, tmp_path: Path) -> None:
    path = tmp_path / 'a.zip'
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('a.png', bytes(1000))
    with pytest.raises(UsageError, match=r'a\.zip is damaged: its masks must not be compressed once more; predict'):
        JOINERS['zip']([(path, {'a.jpg': 'a'})], io.BytesIO())
