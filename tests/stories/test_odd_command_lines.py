"""Empty, missing and impossible values on the command line: one line that names the cause, and nothing is written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

from seglight.run_lock import RunLock

Run = Callable[..., Result]

EMPTY = 'an argument is empty, perhaps from an unset variable of the shell'

#: Each with the words of a command, and a part of its line; `RUN` is a checkpoint.
REFUSED = {
    'validate on no batch': (
        'validate --ckpt RUN --trainer.limit_val_batches=0',
        'trainer.limit_val_batches must be at least 1 batch, or a fraction of all batches, got 0, which validates nothing'),
    'predict no batch': (
        'predict --ckpt RUN --trainer.limit_predict_batches=0', 'got 0, which predicts nothing'),
    'predict nothing': ('predict --ckpt RUN --input=', '--input=: input must not be empty; omit it for the default'),
    'predict nowhere': ('predict --ckpt RUN --output=', '--output=: output must not be empty'),
    'a remark of nothing': ('predict --ckpt RUN --remark=', '--remark=: remark must not be empty'),
    'start from nothing': ('fit -c tiny.yaml --load-from=', '--load-from=: load_from must not be empty'),
    'a run without a name': ('fit -c tiny.yaml --work-dir=', '--work-dir=: work_dir must not be empty'),
    'a path of a config that is empty': ('fit -c tiny.yaml -c empty.yaml', 'empty.yaml:1: work_dir must not be empty'),
    'no checkpoint': ('validate --ckpt=', 'the name of a checkpoint must not be empty'),
    'an empty word after --ckpt': ('data check --ckpt ""', f'data: {EMPTY}'),
    'show no checkpoint': ('info ""', f'info: {EMPTY}'),
    'report no run': ('report RUN ""', f'report: {EMPTY}'),
    'convert nothing': ('convert swin ""', f'convert: {EMPTY}'),
    'average with nothing': ('soup RUN "" --output o.ckpt', f'soup: {EMPTY}'),
    'show a pipe': ('info pipe', "pipe is not a checkpoint: it is not a regular file"),
    'train by a pipe': ('fit -c pipe', "Config 'pipe' is not a regular file"),
    'convert a pipe': ('convert swin pipe o.pth', 'pipe is not a regular file'),
    'export into a pipe': ('export RUN pipe.pth', 'pipe.pth cannot be written: it exists with other content'),
    'an address without an end': ('convert swin http://[ o.pth', 'http://[ is neither a path nor a URL: Invalid IPv6'),
    'an address with a space': ('convert swin "http://a b/x.pth" o.pth', 'http://a b/x.pth cannot be downloaded: URL'),
    'average on no batch': ('soup RUN RUN --output o.ckpt --batches 0', 'soup: --batches must be at least 1, got 0'),
    'average on less': ('soup RUN RUN --output o.ckpt --batches=-1', 'soup: --batches must be at least 1, got -1'),
    'average below a file': (
        'soup RUN RUN --output tiny.yaml/o.ckpt', "'tiny.yaml': File exists; give another name, or remove that file"),
    'masks larger than a row': (
        'predict --ckpt RUN --submission --submission-size=[8193,8192]',
        '--submission-size must be at most 67108864 pixels, got [8193, 8192]'),
    'two starts': ('fit -c tiny.yaml --ckpt RUN --load-from RUN', '--ckpt and --load-from each choose where training starts'),
    'two ways to resume': (
        'fit -c tiny.yaml --ckpt RUN --auto-resume', '--ckpt and --auto-resume each choose where training starts'),
    'validation after no step': (
        'fit -c tiny.yaml --trainer.val_check_interval=0',
        '--trainer.val_check_interval=0: trainer.val_check_interval must be above 0, got 0'),
    'no time': (
        'fit -c tiny.yaml --trainer.max_time=00:00:00:00',
        '--trainer.max_time=00:00:00:00: trainer.max_time must be above 0, got 00:00:00:00'),
    'no model of the zoo': ('fit -c tiny.yaml --model.zoo=', '--model.zoo= needs a value; null stands for none'),
    'no option of mmseg': ('fit -c tiny.yaml --cfg-options', '--cfg-options needs key=value'),
    'null for a number': ('fit -c tiny.yaml -c null.yaml', 'null.yaml:2: data.batch_size must not be null; omit it'),
    'null for a list': (
        'fit -c tiny.yaml --model.per_class=null', '--model.per_class=null: model.per_class: expected '),
}  # fmt: skip


@pytest.fixture
def folder(trained: Path, tiny_config: Path, no_network: list[str]) -> Path:
    """The working folder with the config, and files of odd kinds."""
    os.mkfifo('pipe')
    os.mkfifo('pipe.pth')
    Path('empty.yaml').write_text('work_dir: ""\n')
    Path('null.yaml').write_text('data:\n  batch_size: null\n')
    return Path.cwd()


@pytest.mark.parametrize('case', REFUSED)
def test_odd_values_are_one_line(case: str, folder: Path, trained: Path, run: Run) -> None:
    before = sorted(folder.rglob('*'))
    words, said = REFUSED[case]
    result = run(*(word.strip('"').replace('RUN', str(trained / 'epoch_2.ckpt')) for word in split(words)))
    assert result.status == 2, result
    [line] = result.err.splitlines()
    assert said in line
    assert sorted(folder.rglob('*')) == before


def split(words: str) -> list[str]:
    """Split words at spaces, except in quotes."""
    parts = words.split('"')
    return [word for index, part in enumerate(parts) for word in ([f'"{part}"'] if index % 2 else part.split())]


@pytest.mark.parametrize(('name', 'use'), [('', 'predicts into it'), ('epoch_2.csv', 'writes it')])
def test_two_processes_never_predict_into_one_folder_or_file(
    name: str, use: str, trained: Path, folder: Path, run: Run
) -> None:
    Path('out').mkdir()
    command = ['predict', '--ckpt', trained / 'epoch_2.ckpt', '--output', 'out', '--submission']
    lock = RunLock(Path('out'), name, use, '--output')
    lock.acquire()
    result = run(*command)
    assert result.status == 2
    assert f'{Path("out") / name} is in use: process {os.getpid()} on ' in result.err
    assert f'{use}; wait until it ends, or choose another --output' in result.err
    assert not Path('out/masks/0000.png').exists()
    lock.release()
    assert run(*command, '--resume').status == 0
    assert Path('out/epoch_2.csv').is_file()
    assert run(*command, '--resume').status == 0  # nothing holds the locks in this process


@pytest.mark.parametrize(
    'command', ['info no', 'vote no.csv --output x.csv', 'export no', 'convert swin no', 'ensemble no']
)
def test_debug_shows_where_a_command_failed(workspace: Path, run: Run, command: str) -> None:
    short = run(*command.split())
    result = run(*command.split(), '--debug')
    assert result.status == short.status == 2
    assert result.err.startswith('Traceback (most recent call last)')
    assert result.err.endswith(short.err) and short.err.count('\n') == 1
