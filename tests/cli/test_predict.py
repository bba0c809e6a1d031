"""What follows from the arguments of `predict` before anything is predicted."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning import Callback

from seglight.callbacks import MaskWriter, PredictedBy, ZipWriter
from seglight.checkpoints.ensemble import Ensemble, Member
from seglight.cli.predict import prediction_callbacks
from seglight.errors import UsageError

DEFAULTS = {
    **dict.fromkeys(('ckpt_weights', 'ensemble', 'input', 'mask_labels', 'output', 'part', 'probabilities', 'remark')),
    **dict.fromkeys(('aug_test', 'coco', 'overlays', 'resume', 'submission'), False),
    'pseudo_labels': None,
    'submission_format': 'labels',
    'submission_size': [256, 256],
}


def callbacks_of(folder: Path, **arguments: Any) -> list[Callback]:
    """Return the callbacks that arguments of `predict` request."""
    config = SimpleNamespace(**DEFAULTS | arguments)
    checkpoint: Any = SimpleNamespace(path=folder / 'a.ckpt', fingerprint='a.ckpt 1')
    return prediction_callbacks(config, [checkpoint], folder, {'data': {}, 'model': {}, 'trainer': {}})


def test_the_file_of_an_ensemble_is_utf_8_in_any_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Ensemble([Member(['a.ckpt'], 1.0)], {'Glühbirne': 0.3}).text()
    (tmp_path / 'e.yaml').write_text(text, encoding='utf-8')
    monkeypatch.setattr(io, 'text_encoding', lambda encoding, _=2: encoding or 'ascii')
    first = callbacks_of(tmp_path, ensemble=str(tmp_path / 'e.yaml'))[0]
    assert isinstance(first, PredictedBy)
    assert first.facts['ensemble'] == text


@pytest.mark.parametrize('form', ['labels', 'rle'])
def test_a_submission_that_numbers_the_classes_from_0_is_refused_with_other_numbers(form: str, tmp_path: Path) -> None:
    arguments = {'submission': True, 'submission_format': form}
    assert callbacks_of(tmp_path, **arguments)
    assert callbacks_of(tmp_path, mask_labels=1)
    with pytest.raises(UsageError, match=f'--mask-labels does not apply to --submission-format {form}, .*choose zip'):
        callbacks_of(tmp_path, mask_labels=1, **arguments)


def test_a_zip_gets_the_numbers_of_the_masks(tmp_path: Path) -> None:
    arguments = {'submission': True, 'submission_format': 'zip', 'mask_labels': [7, 8]}
    writers = [each for each in callbacks_of(tmp_path, **arguments) if isinstance(each, (MaskWriter, ZipWriter))]
    assert [each.labels for each in writers] == [[7, 8], [7, 8]]
