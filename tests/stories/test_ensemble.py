"""`--ensemble`: checkpoints with their own weights and views, and post-processing, in one pass."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY_SEGMENTOR, Result, random_batch
from PIL import Image
from pytorch_lightning import Trainer

import seglight
from seglight.callbacks.chosen_ensemble import ChosenEnsemble
from seglight.checkpoints.ensemble import Ensemble, Member
from seglight.models import Segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views

Run = Callable[..., Result]

FLIPS = {'scales': [1.0, 1.25], 'flips': ['horizontal']}


def members(trained: Path) -> list[dict[str, object]]:
    """Two checkpoints that share a weight, and one of them again with views."""
    first, second = str(trained / 'epoch_1.ckpt'), str(trained / 'epoch_2.ckpt')
    return [
        {'checkpoints': [first, second], 'weight': 3},
        {'checkpoints': [second], 'weight': 0.5, 'views': FLIPS},
    ]


def expected_probabilities(trained: Path, image: Path) -> np.ndarray:
    """The weighted mean for `members`, from each prediction alone."""
    first, second = (seglight.load(trained / f'epoch_{number}.ckpt') for number in (1, 2))
    views = Views(make_views((1.0, 1.25), ('horizontal',), (0,)))
    total = 1.5 * first.predict(image, probabilities=True).probabilities
    total = total + 1.5 * second.predict(image, probabilities=True).probabilities
    total = total + 0.5 * second.predict(image, views, probabilities=True).probabilities
    return np.asarray(total / 3.5)


def test_the_mean_is_that_of_each_prediction_alone(trained: Path, workspace: Path, run: Run, data_root: Path) -> None:
    Path('ensemble.yaml').write_text(yaml.safe_dump({'members': members(trained)}))
    done = run('predict', '--ensemble', 'ensemble.yaml', '--probabilities', 'float16', '--submission')
    assert done.status == 0, done.err
    output = Path('predictions/ensemble')
    images = sorted((data_root / 'img_dir/test').iterdir())
    for image in images:
        expected = expected_probabilities(trained, image)
        found = np.load(output / f'probabilities/{image.stem}.npz')['probabilities']
        np.testing.assert_allclose(found, expected, atol=1e-3)
        top = np.sort(expected, 0)
        clear = top[-1] - top[-2] > 1e-5
        assert (np.asarray(Image.open(output / f'masks/{image.stem}.png')) == expected.argmax(0))[clear].all()
    assert Path('ensemble.csv').read_text().count('\n') == 1 + len(images)
    again = run('predict', '--ensemble', 'ensemble.yaml', '--resume')
    assert again.status == 0, again.err


def test_the_post_processing_applies_to_every_mask(trained: Path, workspace: Path, run: Run, data_root: Path) -> None:
    image = min((data_root / 'img_dir/test').iterdir())
    probabilities = expected_probabilities(trained, image)
    plain = probabilities.argmax(0)
    often = int(np.bincount(plain.ravel()).argmax())
    classes = seglight.load(trained / 'epoch_2.ckpt').classes
    threshold = float(np.median(probabilities[often][plain == often]))
    content = {'members': members(trained), 'thresholds': {classes[often]: threshold}}
    Path('ensemble.yaml').write_text(yaml.safe_dump(content))
    done = run('predict', '--ensemble', 'ensemble.yaml', '--output', 'out', '--input', image)
    assert done.status == 0, done.err
    found = np.asarray(Image.open(f'out/masks/{image.stem}.png'))
    kept = probabilities[often] > threshold + 1e-5
    lost = (plain == often) & (probabilities[often] < threshold - 1e-5)
    assert (found[kept & (plain == often)] == often).all()
    assert lost.sum() > 100
    assert (found[lost] != often).all()
    validated = run('validate', '--ensemble', 'ensemble.yaml', '--report=false')
    assert validated.status == 0, validated.err
    different = run('predict', '--ensemble', 'ensemble.yaml', '--output', 'out', '--resume')
    assert 'predictions made with a different input' in different.err


@pytest.mark.parametrize('channels', [1, 2])
def test_a_binary_head_predicts_the_class_by_which_the_ensemble_was_chosen(channels: int) -> None:
    model = {**copy.deepcopy(TINY_SEGMENTOR), 'auxiliary_head': None}
    model['decode_head'] |= {'out_channels': channels, 'num_classes': 2}
    if channels == 1:
        model['decode_head'] |= {'threshold': 0.3, 'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': True}}
    module = Segmentor(model, ['a', 'b']).eval()
    callback = ChosenEnsemble(Ensemble([Member(['only.ckpt'], 1.0)]))
    callback.setup(Trainer(logger=False), module, 'predict')
    batch = random_batch(1)
    with torch.no_grad():
        (found,) = module.predict(batch, replace(callback.adapt(Options(), 'predict'), probabilities=True))
    assert found.probabilities is not None
    assert torch.equal(found.mask, (found.probabilities[-1] > 0.5).byte())


@pytest.mark.parametrize(
    ('flags', 'message'),
    [
        (['--ckpt', 'a.ckpt'], '--ensemble sets the checkpoints, their weights and views; remove --ckpt'),
        (['--aug-test'], 'remove --aug-test'),
        (['--ensemble', 'none.yaml'], '--ensemble none.yaml cannot be read: No such file or directory'),
        (['--ensemble', 'gone.yaml'], "Checkpoint 'gone/fold1' was not found"),
        (['--ensemble', 'other.yaml'], "the ensemble names the class 'Unicorn', which its checkpoints do not have"),
    ],
)
def test_wrong_ensembles_end_with_one_line(
    flags: list[str], message: str, trained: Path, workspace: Path, run: Run
) -> None:
    Path('gone.yaml').write_text('members: [{checkpoints: [gone/fold1], weight: 1}]')
    other = {'members': members(trained), 'thresholds': {'Unicorn': 0.5}}
    Path('other.yaml').write_text(yaml.safe_dump(other))
    done = run('predict', '--ensemble', 'other.yaml', *flags)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.splitlines()) == 1, done.err
