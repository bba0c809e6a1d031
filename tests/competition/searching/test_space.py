"""The file of a search."""

from pathlib import Path

import pytest

from seglight.competition.searching.space import Choice, Range, corners, flags_of, read_space
from seglight.errors import UsageError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / 'search.yaml'
    path.write_text(text)
    return path


def test_ranges_and_choices(tmp_path: Path) -> None:
    text = (
        'model.optimizer.lr: {low: 1e-4, high: 1e-2, log: true}\n'
        'data.batch_size: {choices: [2, 4]}\n'
        'trainer.max_epochs: {low: 2, high: 8, step: 2}\n'
        'model.frozen: {choices: [null, [backbone]]}\n'
    )
    space = read_space(written(tmp_path, text))
    assert space == {
        'model.optimizer.lr': Range(1e-4, 1e-2, log=True),
        'data.batch_size': Choice(['2', '4']),
        'trainer.max_epochs': Range(2, 8, 2),
        'model.frozen': Choice(['null', '[backbone]']),
    }
    assert [flags_of(each)[2:] for each in corners(space)] == [
        ['--trainer.max_epochs=2', '--model.frozen=null'],
        ['--trainer.max_epochs=8', '--model.frozen=[backbone]'],
    ]


@pytest.mark.extras
def test_distributions_are_those_of_optuna() -> None:
    optuna = pytest.importorskip('optuna')
    of = optuna.distributions
    assert Range(1e-4, 1e-2, log=True).distribution() == of.FloatDistribution(1e-4, 1e-2, log=True)
    assert Range(0, 0.5, 0.1).distribution() == of.FloatDistribution(0, 0.5, step=0.1)
    assert Range(2, 8, 2).distribution() == of.IntDistribution(2, 8, step=2)
    assert Range(1, 64, log=True).distribution() == of.IntDistribution(1, 64, log=True)
    assert Choice(['2', '[a]']).distribution() == of.CategoricalDistribution(['2', '[a]'])


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ('3', 'must be {low: NUMBER, high: NUMBER} or {choices: [...]}, got 3'),
        ('{low: 1}', '.high must be a number, got null'),
        ('{low: a, high: 2}', '.low must be a number, got a'),
        ('{low: true, high: 2}', '.low must be a number, got true'),
        ('{low: .nan, high: 2}', '.low must be a number, got .nan'),
        ('{low: 2, high: 2}', '.high must be above low, got 2 to 2'),
        ('{low: 0, high: 1, log: true}', '.low must be above 0 with log: true, got 0'),
        ('{low: -1.0, high: 1, log: true}', '.low must be above 0 with log: true, got -1.0'),
        ('{low: 1, high: 2, log: 1e3}', '.log must be true or false, got 1000.0'),
        ('{low: 1, high: 2, logg: true}', " has the unknown key 'logg'; did you mean 'log'?"),
        ('{low: 1, high: 9, step: 0.5}', '.step must be a whole number from above 0 to 8, got 0.5'),
        ('{low: 0.0, high: 1, step: 2}', '.step must be a number from above 0 to 1, got 2'),
        ('{low: 1, high: 9, step: 2, log: true}', '.step cannot be set with log: true; remove one of them'),
        ('{choices: []}', '.choices must be a list with at least one value, got []'),
        ('{choices: 4}', '.choices must be a list with at least one value, got 4'),
        ('{choices: [4, 4]}', '.choices must differ, got [4, 4]'),
        ('{choices: [4], low: 1}', 'must be {low: NUMBER, high: NUMBER} or {choices: [...]}'),
        ('{choices: [4], step: 1}', " has the unknown key 'step'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, values: str, message: str) -> None:
    path = written(tmp_path, f'# a comment\ndata.batch_size: {values}\n')
    with pytest.raises(UsageError) as caught:
        read_space(path)
    assert str(caught.value).startswith(f'{path}:2: data.batch_size')
    assert message in str(caught.value)


def test_a_file_without_keys(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='names no key to search over'):
        read_space(written(tmp_path, ''))
    with pytest.raises(UsageError, match=r'--search .*none.yaml does not exist'):
        read_space(tmp_path / 'none.yaml')
