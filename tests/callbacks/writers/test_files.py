"""Writing in the background with a bounded queue."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from seglight.callbacks.writers.files import MaskWriter, PredictionWriter, ProbabilityWriter
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
