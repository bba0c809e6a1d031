"""Runs logged to W&B: the real package writes offline, and the tests read its files."""

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import wandb
import yaml
from conftest import Result
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]  # made at import
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from seglight.callbacks import EpochLines
from seglight.callbacks.wandb_logger import SteppedLogger
from seglight.report.evaluation import load_evaluation

Run = Callable[..., Result]
ROOT = Path(__file__).parents[2]
FLAGS = ['--wandb.project=trash', '--wandb.num_images=2']


class Written(NamedTuple):
    """What lies in the file of one W&B run; `history` has a dict for each step, in order."""

    folder: Path
    run: Any
    config: dict[str, Any]
    history: list[dict[str, Any]]
    artifacts: list[Any]
    exit_code: int | None


def records(path: Path) -> Iterator[Record]:
    """Read a `.wandb` file: the log format of LevelDB behind a head of seven bytes."""
    data = path.read_bytes()
    assert data[:4] == b':W&B'
    position, parts = 7, b''
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:  # no head fits into the rest of a block
            position += left
            continue
        _, length, kind = struct.unpack('<IHB', data[position : position + 7])
        parts += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b''


def end_wandb() -> None:
    """End W&B as at the end of a process: all is on the disk then, and nothing listens to stdout any more."""
    wandb.finish()  # `teardown` alone leaves the hooks of a run that nobody ended, such as one of Lightning's logger
    wandb.teardown()


def read(work_dirs: str | Path = 'work_dirs') -> list[Written]:
    """Read every W&B run below a folder, in the order of the folders of the runs."""
    end_wandb()
    found = []
    for path in sorted(Path(work_dirs).glob('*/wandb/offline-run-*/*.wandb')):
        kinds: dict[str, list[Any]] = {}
        for record in records(path):
            kind = record.WhichOneof('record_type')
            inner = getattr(record, kind)
            kinds.setdefault(kind, []).append(inner)
            if kind == 'request':
                kinds.setdefault(inner.WhichOneof('request_type'), []).append(inner)
        run = kinds['run'][0]
        config = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for update in [*kinds.get('config', []), run.config]  # later ones hold the whole again, without empty dicts
            for item in update.update
        }
        config['_wandb'] = _last_of_wandbs_own(kinds.get('config', []))
        rows = [
            {item.key or '.'.join(item.nested_key): json.loads(item.value_json) for item in row.item}
            for row in kinds.get('history', [])
        ]
        code = kinds['exit'][0].exit_code if 'exit' in kinds else None
        found.append(Written(path.parent, run, config, rows, kinds.get('artifact', []), code))
    return found


def _last_of_wandbs_own(updates: list[Any]) -> dict[str, Any]:
    """What W&B keeps in the config for itself, such as the names of the classes of masks."""
    values = [item.value_json for update in updates for item in update.update if item.key == '_wandb']
    return dict(json.loads(values[-1])) if values else {}


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Neither key nor settings of whoever runs the tests count."""
    for name in ('WANDB_API_KEY', 'WANDB_MODE', 'WANDB_DISABLED', 'WANDB_BASE_URL', 'WANDB_PROJECT'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('NETRC', str(tmp_path / 'netrc'))
    monkeypatch.setenv('WANDB_CONFIG_DIR', str(tmp_path / 'wandb_config'))
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    end_wandb()
    yield
    end_wandb()


def test_wandb_contains_everything_that_a_run_logs(tiny_config: Path, run: Run) -> None:
    tags = ['--tags', 'batch_size=16', 'swin_cascade']
    done = run('fit', '--config', tiny_config, *FLAGS, '--wandb.notes=first try', '--wandb.group=folds', *tags)
    assert done.status == 0, done.err
    assert done.err == ''
    (written,) = read()
    assert [line for line in done.out.splitlines() if line.startswith('W&B')] == [
        f'W&B        offline (no API key; run `wandb login` once); sync later with: wandb sync {written.folder}'
    ]
    about = written.run
    assert (about.project, about.display_name, about.run_group) == ('trash', 'exp1', 'folds')
    assert (about.notes, list(about.tags)) == ('first try', ['batch_size=16', 'swin_cascade'])
    assert written.exit_code == 0
    config = yaml.safe_load(Path('work_dirs/exp1/config.yaml').read_text())
    assert {key: written.config[key] for key in config} == config
    assert written.config['environment'] == yaml.safe_load(Path('work_dirs/exp1/environment.yaml').read_text())


def test_no_file_of_wandb_contains_secrets(tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(['git', 'init', '-q'], check=True)
    subprocess.run(['git', 'remote', 'add', 'origin', 'https://hunter2:x-oauth-basic@host/a.git'], check=True)
    flags = ['--wandb.notes=https://user:hunter2@host/', '--tags', 'api_key=hunter2']
    monkeypatch.setattr(sys, 'argv', ['seglight', 'fit', *flags])  # which W&B reads
    assert run('fit', '--config', tiny_config, *FLAGS, *flags).status == 0
    (written,) = read()
    files = [path for path in written.folder.rglob('*') if path.is_file()]
    assert not [path for path in files if b'hunter2' in path.read_bytes()]
    assert sys.argv[-1] == 'api_key=hunter2'


def test_its_history_equals_the_csv_file(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, *FLAGS).status == 0
    (written,) = read()
    assert [row['_step'] for row in written.history] == [0, 1, 2, 3]
    lines = [line.split(',') for line in Path('work_dirs/exp1/metrics.csv').read_text().splitlines()]
    names = lines[0]
    assert {'lr-SGD', 'train/loss', 'train/decode.loss_ce', 'val/mIoU', 'val/IoU.Battery'} <= set(names)
    for line in lines[1:]:
        values = dict(zip(names, line, strict=True))
        row = written.history[int(values['step'])]
        for name, value in values.items():
            if value and name != 'step':
                assert float(row[name]) == pytest.approx(float(value), nan_ok=True)


def test_its_tables_and_images_are_those_of_the_validation(tiny_config: Path, run: Run, data_root: Path) -> None:
    assert run('fit', '--config', tiny_config, *FLAGS, '--trainer.max_epochs=1').status == 0
    (written,) = read()
    last = written.history[-1]
    found = load_evaluation(Path('work_dirs/exp1/evaluation/fit.npz'))
    table = json.loads((written.folder / 'files' / last['val/classes.path']).read_text())
    assert table['columns'] == ['class', 'IoU', 'accuracy', 'pixels']
    assert [row[0] for row in table['data']] == found.classes
    np.testing.assert_allclose([np.nan if row[1] is None else row[1] for row in table['data']], found.iou)
    cells = json.loads((written.folder / 'files' / last['val/confusion_table.path']).read_text())['data']
    assert np.array([cell[2] for cell in cells]).reshape(11, 11).tolist() == found.confusion.tolist()
    assert [caption.split(':')[0] for caption in last['val/worst.captions']] == [
        example.name for example in found.worst[:2]
    ]
    for index, example in enumerate(found.worst[:2]):
        masks = last['val/worst.all_masks'][index]
        for part, expected in (('ground_truth', example.mask), ('prediction', example.prediction)):
            with Image.open(written.folder / 'files' / masks[part]['path']) as image:
                assert (np.asarray(image) == expected).all()
        with Image.open(written.folder / 'files' / last['val/worst.filenames'][index]) as image:
            assert image.size == Image.open(example.path).size
    labels = written.config['_wandb']['mask/class_labels']['val/worst_wandb_delimeter_prediction']['value']
    assert labels == {**{str(index): name for index, name in enumerate(found.classes)}, '255': 'ignored'}


def test_the_same_images_are_shown_after_every_validation(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, *FLAGS).status == 0
    (written,) = read()
    shown = [row['val/images.captions'] for row in written.history if 'val/images.captions' in row]
    assert shown == [['0000', '0002']] * 2


@pytest.mark.parametrize('off', ['debug', 'mode', 'no project'])
def test_it_can_be_turned_off(tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    flags = {'debug': [*FLAGS, '--debug', '1'], 'mode': FLAGS, 'no project': []}[off]
    if off == 'mode':
        monkeypatch.setenv('WANDB_MODE', 'disabled')
    done = run('fit', '--config', tiny_config, *flags)
    assert done.status == 0, done.err
    assert 'W&B' not in done.out
    assert not list(Path().rglob('*wandb*'))


def test_a_wandb_logger_of_the_trainer_is_the_only_one(tiny_config: Path, run: Run) -> None:
    logger = ['--trainer.logger=WandbLogger', '--trainer.logger.project=mine', '--trainer.logger.offline=true']
    result = run('fit', '-c', tiny_config, *FLAGS, *logger, '--trainer.logger.save_dir=own')
    assert result.status == 0, result.err
    end_wandb()
    assert 'seglight: warning: trainer.logger has a WandbLogger, so wandb.project is ignored' in result.err
    assert len(list(Path().glob('**/offline-run-*'))) == 1
    assert not Path('work_dirs/exp1/wandb').exists()


def test_a_resumed_run_continues_in_wandb_without_duplicate_steps(tiny_config: Path, run: Run) -> None:
    assert run('fit', '--config', tiny_config, *FLAGS).status == 0
    Path('work_dirs/exp1/epoch_2.ckpt').unlink()
    more = [*FLAGS, '--work-dir', 'work_dirs/exp1', '--auto-resume', '--trainer.max_epochs=3']
    done = run('fit', '--config', tiny_config, *more)
    assert done.status == 0, done.err
    first, second = read()
    assert first.run.run_id == second.run.run_id
    assert [row['_step'] for row in first.history] == [0, 1, 2, 3]
    assert [row['_step'] for row in second.history] == [4, 5]  # it trained the steps 2 and 3 again
    assert 'val/mIoU' in second.history[-1]
    more = [*FLAGS, '--ckpt', 'exp1/epoch_1.ckpt']
    assert run('fit', '--config', tiny_config, *more).status == 0  # a new folder is a new run
    other = read()[2]
    assert other.run.run_id != first.run.run_id
    assert [row['_step'] for row in other.history] == [2, 3]


def test_without_a_connection_it_is_offline(tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('WANDB_API_KEY', 'a' * 40)
    monkeypatch.setenv('WANDB_BASE_URL', 'http://127.0.0.1:9')
    done = run('fit', '--config', tiny_config, *FLAGS, '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    assert 'W&B        offline (cannot connect to http://127.0.0.1:9: ' in done.out
    assert len(read()) == 1


class Refusing(BaseHTTPRequestHandler):
    """A server that knows no key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.send_response(401)
        self.end_headers()

    do_HEAD = do_GET = do_POST

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_with_a_rejected_key_it_is_offline(tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(('127.0.0.1', 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv('WANDB_API_KEY', 'a' * 40)
    monkeypatch.setenv('WANDB_BASE_URL', f'http://127.0.0.1:{server.server_port}')
    done = run('fit', '--config', tiny_config, *FLAGS, '--trainer.max_epochs=1')
    server.shutdown()
    assert done.status == 0, done.err
    assert 'W&B        offline (' in done.out
    assert len(read()) == 1


def test_an_error_in_wandb_does_not_end_the_training(
    tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise OSError('no space left on device')

    monkeypatch.setattr(wandb.Run, 'log', fail)
    done = run('fit', '--config', tiny_config, *FLAGS)
    assert done.status == 0, done.err
    assert done.out.count('W&B        stopped logging: no space left on device; the training continues') == 1
    assert 'epoch 2/2' in done.out


def test_checkpoints_and_gradients_are_logged_on_request(tiny_config: Path, run: Run) -> None:
    wanted = ['--wandb.log_checkpoints=true', '--wandb.log_gradients=true']
    assert run('fit', '--config', tiny_config, *FLAGS, *wanted).status == 0
    (written,) = read()
    (artifact,) = [each for each in written.artifacts if each.type == 'model']
    assert artifact.manifest.contents[0].path == next(Path('work_dirs/exp1').glob('best_*.ckpt')).name
    assert any(key.startswith('gradients/') for row in written.history for key in row)
    assert run('fit', '--config', tiny_config, *FLAGS).status == 0
    plain = read()[1]
    assert [each for each in plain.artifacts if each.type == 'model'] == []
    assert not any(key.startswith('gradients/') for row in plain.history for key in row)


def test_a_failed_run_is_marked_as_failed(tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError('broken')

    monkeypatch.setattr(EpochLines, 'on_train_epoch_end', fail)
    assert run('fit', '--config', tiny_config, *FLAGS).status == 1
    (written,) = read()
    assert written.exit_code == 1
    assert [row['_step'] for row in written.history] == [0, 1]


def test_the_sweep_of_the_docs_calls_the_command_line(tiny_config: Path, run: Run) -> None:
    sweep = yaml.safe_load((ROOT / 'docs' / 'sweep.yaml').read_text())
    chosen = {'model.optimizer.lr': {'value': 0.002}, 'data.batch_size': {'value': 2}}
    assert chosen.keys() == sweep['parameters'].keys()
    words = create_sweep_command(sweep['command'])
    place = words.index('${args}')
    words = [*words[:place], *create_sweep_command_args({'args': chosen})['args'], *words[place + 1 :]]
    start = words.index('seglight')
    assert words[start - 1] == '-m'
    words = [word.replace('demo.yaml', str(tiny_config)) for word in words[start + 1 :]]
    done = run(*words, '--trainer.max_epochs=1')
    assert done.status == 0, done.err
    (written,) = read()
    assert written.config['model']['optimizer']['lr'] == 0.002
    assert written.config['data']['batch_size'] == 2
    assert sweep['metric']['name'] in written.history[-1]


def test_each_metric_is_logged_once_per_step(tmp_path: Path) -> None:
    earlier = {'id': 'abc', 'steps': {'loss': 5, 'mIoU': 3}}
    logger = SteppedLogger(tmp_path / 'wandb.json', earlier, online=False, project='trash', dir=str(tmp_path))
    for step in (4, 5, 6):
        logger.log_metrics({'loss': float(step), 'mIoU': 0.1 * step}, step)
    logger.finish(0)
    end_wandb()
    path = next(tmp_path.glob('wandb/offline-run-*/*.wandb'))
    rows = [record.history for record in records(path) if record.WhichOneof('record_type') == 'history']
    logged = [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in row.item} for row in rows]
    assert [('loss' in row, 'mIoU' in row) for row in logged] == [(False, True), (False, True), (True, True)]
    assert json.loads((tmp_path / 'wandb.json').read_text()) == {'id': 'abc', 'steps': {'loss': 6, 'mIoU': 6}}
