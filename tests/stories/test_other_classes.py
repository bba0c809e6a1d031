"""A checkpoint that is used with the names of its classes in another order, or with other names."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import Result
from PIL import Image

Run = Callable[..., Result]


def trained_classes(run_folder: Path) -> list[str]:
    return list(torch.load(run_folder / 'epoch_2.ckpt', weights_only=True)['hyper_parameters']['classes'])


def relabelled(root: Path, order: list[int]) -> None:
    """Write the masks of val again, for classes that are in another order: class i is what was class `order[i]`."""
    table = np.arange(256, dtype=np.uint8)
    table[order] = np.arange(len(order))
    for path in (root / 'ann_dir' / 'val').glob('*.png'):
        Image.fromarray(table[np.array(Image.open(path))]).save(path)


def figures(text: str) -> dict[str, str]:
    """Return the row of each class and mean of the printed table."""
    rows = (re.split(r'\s{2,}', line.strip(' │|')) for line in text.splitlines())
    return {row[0]: ' '.join(row[1:]) for row in rows if len(row) > 1 and re.match(r'[\d.]+|nan|-', row[1])}


def test_validation_and_prediction_map_classes_by_name(
    trained: Path, own_data: Path, workspace: Path, run: Run
) -> None:
    classes = trained_classes(trained)
    order = [3, 1, 0, 2, *range(4, len(classes) - 1)]
    order.insert(2, len(classes) - 1)
    flags = ['--ckpt', trained / 'epoch_2.ckpt', '--data.root', own_data]
    validate = ['validate', *flags, '--model.val_loss=true', '--report=false']
    expected = run(*validate)
    assert run('predict', *flags, '--output', 'first').status == 0
    relabelled(own_data, order)
    other = [f'--data.classes={[classes[index] for index in order]}', '--data.palette=null']
    found = run(*validate, *other)
    assert (found.status, found.err) == (0, '')
    assert 'Classes    ' in found.out
    assert 'has the same classes in another order: 0 is ' in found.out
    assert 'its predictions are mapped by name' in found.out
    assert figures(found.out) == figures(expected.out)
    assert 'loss' in figures(expected.out)
    assert len(figures(expected.out)) >= len(classes)
    for more in ([], ['--aug-test'], ['--ckpt', trained / 'epoch_2.ckpt']):  # an ensemble with itself
        assert run('predict', *flags, *more, '--output', 'plain').status == 0
        assert run('predict', *flags, *more, *other, '--output', 'mapped').status == 0
        for path in Path('plain/masks').glob('*.png'):
            plain, mapped = (np.array(Image.open(Path(folder) / 'masks' / path.name)) for folder in ('plain', 'mapped'))
            np.testing.assert_array_equal(np.array(order)[mapped], plain)
            assert len(np.unique(plain)) > 1


def test_other_names_are_told(trained: Path, data_root: Path, workspace: Path, run: Run) -> None:
    classes = trained_classes(trained)
    flags = ['--ckpt', trained / 'epoch_2.ckpt', '--data.root', data_root, '--report=false']
    found = run('validate', *flags, f'--data.classes={["renamed", *classes[1:]]}')
    assert found.status == 0
    assert f"has other class names: 0 is '{classes[0]}' there and 'renamed' here; label i" in found.err


@pytest.mark.parametrize('suffix', ['ckpt', 'pth'])
def test_weights_for_the_same_classes_in_another_order_are_told(
    suffix: str, trained: Path, tiny_config: Path, run: Run
) -> None:
    classes = trained_classes(trained)
    weights = trained / 'epoch_2.ckpt'
    if suffix == 'pth':
        entries = torch.load(weights, weights_only=True)
        weights = Path('mm.pth')
        torch.save({'state_dict': entries['state_dict'], 'meta': {'CLASSES': tuple(classes)}}, weights)
    config = yaml.safe_load(tiny_config.read_text())
    config['data'] |= {'classes': [classes[1], classes[0], *classes[2:]], 'palette': None}
    tiny_config.write_text(yaml.safe_dump(config))
    done = run('fit', '--config', tiny_config, '--trainer.max_epochs=1', '--load-from', weights)
    assert done.status == 0
    assert f'seglight: warning: {weights} has the same classes in another order: ' in done.err
    assert 'its heads start with what they learned about its own classes' in done.err
    if suffix == 'ckpt':
        resumed = run('fit', '--config', tiny_config, '--trainer.max_epochs=3', '--ckpt', weights)
        assert resumed.status == 2
        assert 'has the same classes in another order: ' in resumed.err
        assert 'data.classes must be in the order of' in resumed.err
