"""Merging, compared with mmcv's own `Config`."""

import copy
from typing import Any

import pytest
from mmcv import Config

from seglight.config.settings import Origin, Settings, merge, paths

CASES = [
    ({'a': 1, 'b': 2}, {'b': 3}),
    ({'a': {'x': 1, 'y': {'z': 1}}}, {'a': {'y': {'w': 2}}}),
    ({'a': [1, 2, 3]}, {'a': [4]}),
    ({'a': {'x': 1, 'y': 2}}, {'a': {'_delete_': True, 'z': 3}}),
    ({'a': {'b': {'type': 'A', 'k': 1}}}, {'a': {'b': {'_delete_': True, 'type': 'B'}}, 'c': None}),
    ({'a': {'x': 1}}, {'a': 5}),
    ({}, {'a': {'x': [{'y': 1}]}}),
]


@pytest.mark.parametrize(('base', 'over'), CASES)
def test_merges_as_mmcv_does(base: dict[str, Any], over: dict[str, Any]) -> None:
    expected = Config._merge_a_into_b(copy.deepcopy(over), copy.deepcopy(base))
    assert merge(base, over) == expected


def test_merging_changes_neither_side_and_shares_nothing() -> None:
    base, over = {'a': {'x': [1]}}, {'a': {'_delete_': True, 'y': [2]}}
    kept = copy.deepcopy((base, over))
    merged = merge(base, over)
    merged['a']['y'].append(3)
    assert (base, over) == kept


def test_delete_in_a_new_dict_is_not_kept() -> None:
    assert merge({}, {'a': {'_delete_': True, 'x': 1}}) == {'a': {'x': 1}}


def test_the_origin_of_a_key_is_that_of_the_nearest_key_that_holds_it() -> None:
    settings = Settings({'a': {'b': 1}}, {('a',): Origin('f.yaml', 3)})
    assert str(settings.origin(('a', 'b'))) == 'f.yaml:3'
    assert settings.origin(('z',)) is None


def test_keys_that_are_numbers_have_origins_like_others() -> None:
    base = Settings({'a': {'label_map': {255: 'x'}}}, {('a', 'label_map', '255'): Origin('f.yaml', 3)})
    assert list(paths(base.values)) == [('a',), ('a', 'label_map'), ('a', 'label_map', '255')]
    assert base.without_plus().values == {'a': {'label_map': {'255': 'x'}}}


@pytest.mark.parametrize(
    ('files', 'expected'),
    [
        ([{'c': [1]}, {'c+': [2]}], {'c': [1, 2]}),
        ([{'c': {'x': 1}}, {'c+': [2]}], {'c': [{'x': 1}, 2]}),
        ([{'c': 'a'}, {'c+': ['b']}, {'c+': ['d']}], {'c': ['a', 'b', 'd']}),
        ([{'c': None}, {'c+': [2]}], {'c': [2]}),
        ([{'c+': [1]}, {'c+': [2]}], {'c+': [1, 2]}),
        ([{'c+': [1]}, {'c': None}, {'c+': [3]}], {'c': [3]}),
        ([{'c+': [1]}, {'c': [2]}], {'c': [2]}),
    ],
)
def test_a_plus_extends_what_is_there(files: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    merged: dict[str, Any] = {}
    for each in files:
        merged = merge(merged, each)
    assert merged == expected
