"""A training step waits for the device nowhere, whatever a user combines."""

from pathlib import Path
from typing import Any

import count_waits
import pytest

from seglight.data.demo import generate


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with more than 20 batches of two small images."""
    root = tmp_path_factory.mktemp('data')
    generate(root, counts={'train': 52, 'val': 1, 'test': 1}, size=80)
    return root


#: What a user may combine; the cases of the script count each by itself.
RUNS: dict[str, tuple[dict[str, Any], list[str]]] = {
    'OHEM, class weights, EMA, CutMix and Mosaic, with a progress bar': (
        count_waits.small(count_waits.ohem(thresh=0.7), class_weight=[1.0, 2.0] * 5 + [0.5]),
        [*count_waits.EMA, *count_waits.MIXES, '--trainer.enable_progress_bar=true'],
    ),
    'Fast-SCNN, accumulation, clipping': (
        count_waits.FAST_SCNN,
        ['--trainer.gradient_clip_val=1', '--trainer.accumulate_grad_batches=2'],
    ),
    'SegFormer-B0, bf16-mixed': (count_waits.SEGFORMER, ['--trainer.precision=bf16-mixed']),
}


@pytest.mark.slow
@pytest.mark.parametrize('case', RUNS)
def test_no_step_that_logs_nothing_waits(case: str, data: Path, workspace: Path) -> None:
    model, options = RUNS[case]
    counts = count_waits.count(model, options, data, workspace)
    assert counts.steps == 20
    assert counts.other == []
    assert counts.logging  # what Lightning logs, it reads
