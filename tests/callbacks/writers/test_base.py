"""Writing in the background with a bounded queue."""

import errno
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from seglight.callbacks.writers.base import PredictionWriter
from seglight.callbacks.writers.files import MaskWriter, ProbabilityWriter
from seglight.errors import OutputError
from seglight.models.inference.logits import Prediction


@pytest.mark.parametrize(('kind', 'maximum'), [(ProbabilityWriter, 2), (MaskWriter, 32)])
def test_the_queue_of_predictions_is_bounded(kind: type[PredictionWriter], maximum: int, tmp_path: Path) -> None:
    handed, go_on = 0, threading.Event()

    class Slow(kind):  # type: ignore[misc, valid-type]
        def write(self, mask: Any, probabilities: Any, meta: Any) -> None:
            go_on.wait(10)

        def kept_probabilities(self, predicted: Prediction) -> Any:
            nonlocal handed
            handed += 1
            if handed == maximum:
                threading.Timer(0.2, seen_and_go_on).start()
            return super().kept_probabilities(predicted)

    def seen_and_go_on() -> None:
        stopped_at.append(handed)
        go_on.set()

    stopped_at: list[int] = []
    writer = Slow(tmp_path)
    writer._pool = ThreadPoolExecutor(1)
    image = Prediction(torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(3, 2, 2))
    count = maximum + 5
    arguments: Any = ([image] * count, None, {'meta': [{}] * count}, 0, 0)
    writer.write_on_batch_end(None, None, *arguments)
    writer._stop()
    assert stopped_at == [maximum]
    assert handed == count


def predictions(count: int) -> Any:
    """The arguments of `write_on_batch_end` for images of four bytes."""
    image = Prediction(torch.zeros(2, 2, dtype=torch.uint8), torch.zeros(1, 2, 2))
    return [image] * count, None, {'meta': [{'name': str(number)} for number in range(count)]}, 0, 0


def test_the_queue_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('seglight.callbacks.writers.base.MAX_BYTES', 9)
    waiting = []

    class Slow(MaskWriter):
        def _write_copies(self, *arguments: Any) -> None:
            time.sleep(0.01)
            waiting.append(len(self._waiting))

    writer = Slow(tmp_path)
    writer._pool = ThreadPoolExecutor(4)
    writer.write_on_batch_end(None, None, *predictions(8))  # type: ignore[arg-type]
    writer._stop()
    assert len(waiting) == 8
    assert max(waiting) <= 2


def test_several_threads_write_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=10)

    class Meeting(MaskWriter):
        def encode(self, mask: Any, probabilities: Any, meta: Any) -> bytes:
            together.wait()
            return bytes(meta['name'], 'ascii')

    writer = Meeting(tmp_path)
    writer._pool = ThreadPoolExecutor(3)
    writer.write_on_batch_end(None, None, *predictions(6))  # type: ignore[arg-type]
    writer._stop()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f'{n}.png': str(n) for n in range(6)}


def test_a_write_error_ends_the_run_with_one_line(tmp_path: Path) -> None:
    class Full(MaskWriter):
        def encode(self, mask: Any, probabilities: Any, meta: Any) -> bytes:
            if meta['name'] == '2':
                raise OSError(errno.ENOSPC, 'No space left on device', 'x.png')
            return b''

    writer = Full(tmp_path)
    writer._pool = ThreadPoolExecutor(2)
    writer.write_on_batch_end(None, None, *predictions(5))  # type: ignore[arg-type]
    with pytest.raises(OutputError, match=r'^x.png cannot be written: No space left on device; fix this, then add'):
        writer.teardown(None, None, 'predict')  # type: ignore[arg-type]
    writer.on_exception(None, None, OSError())  # type: ignore[arg-type]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['0.png', '1.png', '3.png', '4.png']
