"""The zip of a submission: its numbers are those of the masks, and its names are text."""

import base64
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglight.callbacks import MaskWriter, ZipWriter
from seglight.errors import OutputError, UsageError

MASK = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


def trainer(*names: str) -> Any:
    """A trainer that is about to predict images of these names, on one process."""
    dataset = SimpleNamespace(all_names=list(names))
    strategy = SimpleNamespace(barrier=lambda _: None)
    return SimpleNamespace(
        datamodule=SimpleNamespace(datasets={'test': dataset}), is_global_zero=True, global_rank=0, world_size=1,
        strategy=strategy,
    )  # fmt: skip


MODULE: Any = SimpleNamespace(
    classes=['a', 'b', 'c'], palette=[[0, 0, 0], [9, 9, 9], [5, 6, 7]], predict_step=lambda _: None
)


@pytest.mark.parametrize(
    ('labels', 'expected'), [(None, [0, 1, 2]), (1, [1, 2, 3]), ([7, 3, 255], [7, 3, 255])], ids=str
)
def test_a_zip_has_the_numbers_and_colours_of_the_masks(labels: Any, expected: list[int], tmp_path: Path) -> None:
    masks, zipped = MaskWriter(tmp_path / 'masks', labels=labels), ZipWriter(tmp_path / 'a.zip', None, labels=labels)
    for writer in (masks, zipped):
        writer.setup(trainer('x'), MODULE, 'predict')
    _, png = json.loads(zipped.line(MASK, {'name': 'x', 'path': '/in/x.jpg'}))
    found = Image.open(io.BytesIO(base64.b64decode(png)))
    assert (np.asarray(found) == np.array(expected)[MASK]).all()
    assert (np.asarray(found.convert('RGB')) == np.array(MODULE.palette)[MASK]).all()
    assert base64.b64decode(png) == masks.encode(MASK, None, {})
    for writer in (masks, zipped):
        writer.on_exception(trainer(), MODULE, KeyboardInterrupt())


@pytest.mark.parametrize('labels', [254, [1, 2], [0, 1, 256], [-1, 0, 1]], ids=str)
def test_other_numbers_are_refused(labels: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='--mask-labels must be a number from 0 to 255 for each of the 3 classes'):
        ZipWriter(tmp_path / 'a.zip', labels=labels).setup(trainer('x'), MODULE, 'predict')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('name', 'fault'), [('caf\udce9', 'is not Unicode text'), ('../x', 'leads out of its folder')], ids=ascii
)
def test_a_name_that_a_zip_cannot_have_is_refused_before_anything_is_predicted(
    name: str, fault: str, tmp_path: Path
) -> None:
    writer = ZipWriter(tmp_path / 'a.zip')
    message = f'^cannot write to {tmp_path}/a.zip: the image name {re.escape(ascii(name))} {fault}; rename the image$'
    with pytest.raises(OutputError, match=message):
        writer.setup(trainer('a', name), MODULE, 'predict')
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match=message):
        writer.line(MASK, {'name': name, 'path': f'/in/{name}.jpg'})
