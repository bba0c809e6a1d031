"""The check for a GPU: its tables, its time limits, its wheels, and a trial on the CPU."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from gpu import wheels
from gpu.attempts import attempt
from gpu.images import write_data
from gpu.main import main, make_parser
from gpu.plan import PLAN, Planned
from gpu.results import Results, Row, Section, table
from gpu.supervisor import Supervisor, Worker
from PIL import Image

from seglight.errors import SetupError, UsageError

SCRIPTS = Path(__file__).parents[2] / 'scripts'

#: Sections that end in every way.
SERVED = """
import os, sys, time
from gpu.worker import serve

def good(argument):
    yield {'number': 1.5, 'argument': argument}
    yield {'number': 2.0, 'right': True}

def failing(argument):
    yield {'number': 1}
    raise ValueError('the reason\\nand more')

def endless(argument):
    yield {'number': 1}
    time.sleep(600)

def dying(argument):
    print('the last words', flush=True)
    os._exit(3)
    yield

serve({'good': good, 'failing': failing, 'endless': endless, 'dying': dying}, int(sys.argv[1]))
"""


def run_sections(tmp_path: Path, *plan: Planned, seconds: float = 60) -> list[Section]:
    """Run sections of `SERVED`, in Python without any site-packages."""
    program = tmp_path / 'served.py'
    program.write_text(SERVED)
    environment = {'PYTHONPATH': f'{SCRIPTS}{os.pathsep}{SCRIPTS.parent}'}
    results = Results(tmp_path, [Section(each.name, each.title) for each in plan])

    def start(phase: str) -> Worker:
        return Worker([sys.executable, str(program)], environment, tmp_path / 'log')

    Supervisor(results, start, time.monotonic() + seconds).run(plan)
    assert json.loads((tmp_path / 'gpu_check.json').read_text())['sections'] == [
        vars(section) for section in results.sections
    ]
    return results.sections


def test_each_section_is_recorded_however_it_ends(tmp_path: Path) -> None:
    names = ['failing', 'good:argument', 'endless', 'dying', 'good']
    limits = {'endless': 0.5}
    sections = run_sections(tmp_path, *[Planned(name, name, limits.get(name, 30), 'all') for name in names])
    assert [(section.status, section.error) for section in sections] == [
        ('failed', 'ValueError: the reason'),
        ('done', None),
        ('out of time', 'ended after 0.5 s'),
        ('failed', 'the process ended with status 3: the last words'),
        ('done', None),
    ]
    assert sections[0].rows == [{'number': 1}]
    assert sections[1].rows == [{'number': 1.5, 'argument': 'argument'}, {'number': 2.0, 'right': True}]
    assert sections[2].rows == [{'number': 1}]
    assert 0.5 <= sections[2].seconds < 20
    assert [section.is_wrong for section in sections] == [True, False, False, True, False]


def test_the_whole_check_has_a_limit_too(tmp_path: Path) -> None:
    plan = [Planned('endless', 'Endless', 300, 'all'), Planned('good', 'Good', 300, 'all')]
    start = time.monotonic()
    sections = run_sections(tmp_path, *plan, seconds=5)
    assert time.monotonic() - start < 30
    assert [section.status for section in sections] == ['out of time', 'skipped']
    assert sections[1].error == 'no time was left'


def test_nothing_runs_after_an_essential_section_failed(tmp_path: Path) -> None:
    plan = [Planned('failing', 'Failing', 30, 'all', essential=True), Planned('good', 'Good', 30, 'all')]
    sections = run_sections(tmp_path, *plan)
    assert [(section.status, section.error) for section in sections] == [
        ('failed', 'ValueError: the reason'),
        ('skipped', 'an essential section failed'),
    ]


def test_a_wrong_row_makes_a_section_wrong() -> None:
    assert Section('a', 'A', 'done', rows=[{'right': True}, {'right': False}]).is_wrong
    assert not Section('a', 'A', 'done', rows=[{'right': True}, {'right': None}, {'goal met': False}]).is_wrong


def test_tables() -> None:
    rows: list[Row] = [
        {'name': 'a|b', 'images/s': 123.456, 'compile': False},
        {'name': 'c', 'GiB': 0.012345, 'right': False},
        {'right': True},
    ]
    assert table(rows) == dedent(r'''
        | name | images/s | compile | GiB | right |
        | --- | --- | --- | --- | --- |
        | a\|b | 123 | no |  |  |
        | c |  |  | 0.0123 | **no** |
        |  |  |  |  | yes |
    ''').strip()  # fmt: skip


def test_the_report_has_an_overview_and_a_table_for_each_section(tmp_path: Path) -> None:
    rows: list[Row] = [{'what': 'x', 'right': True}, {'what': 'y', 'right': False}]
    sections = [
        Section('a', 'First', 'done', 1.25, None, rows),
        Section('b', 'Second', 'failed', 2, 'the reason'),
        Section('c', 'Third'),
    ]
    report = Results(tmp_path, sections, {'device': 'cpu', 'tiny': True}).markdown()
    assert 'device: cpu, tiny: yes' in report
    assert '| First | done | 1.2 | 1 of 2 |  |\n| Second | failed | 2 |  |  |\n| Third | waiting | 0 |  |  |' in report
    assert '## First\n\n| what | right |' in report
    assert '## Second\n\nfailed: the reason' in report
    assert '## Third' not in report


def test_every_dependency_is_carried_or_expected() -> None:
    needed = wheels.needed('seglight', set(wheels.EXPECTED))
    assert {'albumentations', 'albucore', 'pydantic-core', 'mmsegmentation', 'mmcls', 'addict', 'wcwidth'} <= needed
    assert not needed & set(wheels.EXPECTED)
    assert not {name for name in needed if name.startswith(('nvidia', 'cuda', 'triton'))}
    assert not needed & {'pytest', 'wandb', 'kiwisolver'}, 'of extras, or needed only by expected packages'
    pins = wheels.pinned(wheels.CONSTRAINTS.read_text(), needed)
    assert pins.count('==') == len(needed)
    assert f'albumentations=={metadata.version("albumentations")} \\\n    --hash=sha256:' in pins
    assert set(pins.split()) >= {f'addict=={metadata.version("addict")}'}


def test_a_package_without_a_pin_is_reported() -> None:
    with pytest.raises(SetupError, match=r'scripts/constraints.txt has no version of nonesuch; run scripts/lock'):
        wheels.pinned(wheels.CONSTRAINTS.read_text(), {'nonesuch', 'addict'})


def test_wheels_are_downloaded_for_another_machine_with_hashes() -> None:
    arguments = wheels.download_arguments(Path('pins.txt'), Path('wheels'))
    assert arguments[0] == 'download'
    assert {'--require-hashes', '--no-deps', '--only-binary=:all:', 'manylinux_2_28_x86_64'} <= set(arguments)
    assert arguments[arguments.index('--python-version') + 1] == '3.12'
    assert arguments[arguments.index('--dest') + 1] == 'wheels'


def test_a_folder_of_wheels_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / 'a.whl').write_bytes(b'0' * 10)
    (tmp_path / 'b.whl').write_bytes(b'0' * 2**20)
    assert wheels.check_sizes(tmp_path) == {'a.whl': 10, 'b.whl': 2**20}
    with pytest.raises(SetupError, match=r'must have at most 1 MiB, got 1\.0 MiB; the largest is b\.whl'):
        wheels.check_sizes(tmp_path, limit=2**20)


def test_only_what_is_missing_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(wheels, 'run_pip', lambda _, arguments: calls.append(arguments))
    old, new = metadata.version('addict'), f'{metadata.version("addict")}.1'
    names = [f'addict-{version}-py3-none-any.whl' for version in (old, new)] + ['nonesuch-1.0-py3-none-any.whl']
    for name in names:
        (tmp_path / name).touch()
    assert wheels.install(tmp_path, tmp_path / 'site') == names[1:]
    assert calls[0][:5] == ['install', '--no-index', '--no-deps', '--no-compile', '--target']
    with pytest.raises(SetupError, match='has no wheels; run scripts/gpu_check --prepare'):
        wheels.install(tmp_path / 'empty', tmp_path / 'site')


def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert 'give --out' in capsys.readouterr().err
    assert main(['--out', str(tmp_path), '--only', 'speeds']) == 2
    assert '--only must be of compile, environment, ' in capsys.readouterr().err
    with pytest.raises(UsageError, match=r'--also must be of torch, .*, got scipi'):
        wheels.prepare(tmp_path, ['scipi'])


def test_the_commands_of_the_documentation_and_of_the_script_are_valid() -> None:
    texts = [(SCRIPTS.parent / 'docs/how-to/gpu.md').read_text(), (SCRIPTS / 'gpu_check').read_text()]
    commands = [re.findall(r'scripts/gpu_check (--.*?)  +#', text) for text in texts]
    assert commands[0] == commands[1]
    prepared, checked, tried = (make_parser().parse_args(words.split()) for words in commands[0])
    assert prepared.prepare == checked.wheels
    assert (checked.device, checked.tiny, checked.minutes) == ('cuda', False, 8)
    assert (tried.device, tried.tiny, tried.out) == ('cpu', True, checked.out)


def test_a_missing_package_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(wheels.EXPECTED, 'nonesuch', 'nonesuch')
    assert main(['--out', str(tmp_path), '--device', 'cpu']) == 2
    assert 'this Python lacks nonesuch; install them, or carry them' in capsys.readouterr().err


def test_waits_are_counted_with_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS / 'bench'))
    section: Any = importlib.import_module('gpu.sections.waits')
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)
    counted = section.Waits('cuda')
    counted.start()
    for _ in range(3):
        warnings.warn('called a synchronizing CUDA operation (Triggered internally at x.cpp:1.)', stacklevel=1)
    warnings.warn('something else', stacklevel=1)
    counted.stop(3)
    (place,) = counted.places
    assert place.startswith('scripts/test_gpu_check.py:')
    assert (counted.count, counted.steps, modes) == (3, 3, ['warn', 'default'])
    assert section.Waits('cpu').count is None


def test_an_error_of_one_row_leaves_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def rows(error: Exception) -> Iterator[Row]:
        yield {'model': 'a', 'right': True}
        raise error

    found = list(attempt({'model': 'b'}, partial(rows, ValueError('the\nreason'))))
    assert found == [{'model': 'a', 'right': True}, {'model': 'b', 'failure': 'ValueError: the reason', 'right': False}]
    assert 'Traceback' in capsys.readouterr().err
    with pytest.raises(RuntimeError, match='CUDA error'):  # after it, nothing works
        list(attempt({}, partial(rows, RuntimeError('CUDA error: an illegal memory access'))))


def test_goals_are_those_of_the_share_and_of_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS / 'bench'))
    section: Any = importlib.import_module('gpu.sections.speed')

    def row(rounds: list[dict[str, float]], ratio: float = 2.0) -> Any:
        measured = [{name: section.Measured(rate, 1.5) for name, rate in each.items()} for each in rounds]
        return section.row_of(measured, ratio, judge=True)

    found = row([{'bare': 100, 'seglight': 96, 'runner': 40}, {'bare': 50, 'seglight': 49, 'runner': 20}])
    assert found['times the bare loop'] == pytest.approx((0.96 + 0.98) / 2)
    assert found['times the Runner of mmcv'] == pytest.approx((2.4 + 2.45) / 2)
    assert (found['seglight, images/s'], found['seglight, GiB'], found['goal met']) == (72.5, 1.5, True)
    assert not row([{'bare': 100, 'seglight': 94, 'runner': 40}])['goal met']
    assert not row([{'bare': 100, 'seglight': 99, 'runner': 50}])['goal met']
    assert row([{'bare': 100, 'seglight': 99, 'runner': 98}], ratio=0.0)['goal met']
    assert row([{'bare': 100, 'seglight': 99}])['goal met'], 'a Runner that fails is named elsewhere'
    assert not row([{'bare': 100}])['goal met']


def test_generated_images_are_the_same_in_every_call(tmp_path: Path) -> None:
    for name in ('first', 'second'):
        write_data(tmp_path / name, 48, {'train': 34, 'val': 1}, classes=5)
    files = sorted(path.relative_to(tmp_path / 'first') for path in tmp_path.glob('first/*/*/*'))
    assert len(files) == 2 * 35
    contents = {path: (tmp_path / 'first' / path).read_bytes() for path in files}
    assert contents == {path: (tmp_path / 'second' / path).read_bytes() for path in files}
    assert len(set(contents.values())) == 2 * 33, 'the last two of train are links'
    masks = [np.array(Image.open(path)) for path in tmp_path.glob('first/ann_dir/train/*.png')]
    assert set(np.unique(masks)) == set(range(5))
    assert {Image.open(path).size for path in tmp_path.glob('first/img_dir/*/*.jpg')} == {(48, 48)}


def command(out: Path, *options: str) -> list[str]:
    return [sys.executable, str(SCRIPTS / 'gpu_check'), '--device', 'cpu', '--tiny', '--out', str(out), *options]


def read(out: Path) -> dict[str, dict[str, Any]]:
    sections = json.loads((out / 'gpu_check.json').read_text())['sections']
    return {section['name']: section for section in sections}


@pytest.mark.slow
def test_every_section_gives_results(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path), capture_output=True, text=True)
    found = read(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(found) == [each.name for each in PLAN]
    assert {name: section['status'] for name, section in found.items()} == {each.name: 'done' for each in PLAN}
    assert all(section['rows'] for section in found.values())
    assert {len(found[name]['rows']) for name in ('ops', 'steps', 'masks', 'resume')} == {18, 2, 1}
    for name in ('ops', 'steps', 'masks', 'resume'):
        assert all(row['right'] is True for row in found[name]['rows'])
    assert {row['what'] for row in found['waits']['rows']} == {'training', 'validation'}
    for name in [each.name for each in PLAN if each.name.startswith('speed:')]:
        (row,) = found[name]['rows']
        assert min(row['bare loop, images/s'], row['seglight, images/s'], row['Runner of mmcv, images/s']) > 0
    assert found['writing']['rows'][0]['images'] == 6
    assert (tmp_path / 'gpu_check.md').read_text().count('\n## ') == len(PLAN)


@pytest.mark.slow
def test_a_stopped_check_leaves_what_it_has(tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path, '--only', 'environment', 'resume'), stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if (tmp_path / 'gpu_check.json').exists() and read(tmp_path)['environment']['status'] == 'done':
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=30)[0].decode()
    assert process.returncode == 128 + signal.SIGTERM
    assert {name: section['status'] for name, section in read(tmp_path).items()} == {
        'environment': 'done',
        'resume': 'stopped',
    }
    assert '| what | value |' in printed
