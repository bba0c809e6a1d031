"""The text of a plan."""

from pathlib import Path

import yaml

from seglight.competition.planning.plan_file import Choice, base_name, text_of
from seglight.config.files import SHIPPED


def test_each_key_has_a_comment_and_the_file_is_the_same_yaml() -> None:
    crop = [{'type': 'RandomCrop', 'height': 64, 'width': 32}]
    choices = {
        'model.a.b.weights': Choice([1.5, 2.0], 'first\nline'),
        'data.transforms': Choice(crop, 'second'),
        'trainer.max_epochs': Choice(3, 'third'),
        'data.cache': Choice(None, 'fourth: 5 % # of all'),
        'model.a.c': Choice('x: y', 'fifth'),
    }
    text = text_of(['own.yaml'], choices, 'title')
    assert text == (
        '# title\n_base_: [own.yaml]\nmodel:\n  a:\n    b:\n      # first line\n      weights: [1.5, 2.0]\n'
        "    # fifth\n    c: 'x: y'\ndata:\n  # second\n  transforms:\n    - {type: RandomCrop, height: 64, width: 32}\n"
        '  # fourth: 5 % # of all\n  cache: null\ntrainer:\n  # third\n  max_epochs: 3\n'
    )
    assert yaml.safe_load(text) == {
        '_base_': ['own.yaml'],
        'model': {'a': {'b': {'weights': [1.5, 2.0]}, 'c': 'x: y'}},
        'data': {'transforms': crop, 'cache': None},
        'trainer': {'max_epochs': 3},
    }


def test_bases_are_relative_to_the_file_or_shipped(tmp_path: Path) -> None:
    (tmp_path / 'sub').mkdir()
    assert base_name(tmp_path / 'own.yaml', tmp_path) == 'own.yaml'
    assert base_name(tmp_path / 'own.yaml', tmp_path / 'sub') == '../own.yaml'
    assert base_name(SHIPPED / 'camvid.yaml', tmp_path) == 'camvid.yaml'
    (tmp_path / 'camvid.yaml').touch()  # which would be found first
    assert base_name(SHIPPED / 'camvid.yaml', tmp_path) == str((SHIPPED / 'camvid.yaml').resolve())
