"""Held-out shares and folds: disjoint, whole, even over the classes, and together by group."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglight.data.sources import Sample
from seglight.data.splits import Split, groups_of, list_texts, read_lists, split_samples, validation_mask
from seglight.errors import ConfigError, DataError


def samples(count: int, groups: int = 0) -> list[Sample]:
    names = [f'g{index % groups}_{index}' if groups else str(index) for index in range(count)]
    return [Sample(Path(f'/data/{name}.jpg'), name) for name in names]


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(10, 40), st.integers(5, 12), st.integers(0, 1000))
def test_folds_hold_every_image_once_and_groups_whole(folds: int, count: int, groups: int, seed: int) -> None:
    presence = np.random.default_rng(seed).random((count, 4)) < [1, 0.5, 0.2, 0.1]
    data = samples(count, groups)
    parts = [
        validation_mask(data, Split(fold=f'{fold} of {folds}', group='^[^_]+'), presence, seed)
        for fold in range(1, folds + 1)
    ]
    assert (np.sum(parts, axis=0) == 1).all()
    for part in parts:
        held = {sample.name.split('_')[0] for sample, validates in zip(data, part, strict=True) if validates}
        kept = {sample.name.split('_')[0] for sample, validates in zip(data, part, strict=True) if not validates}
        assert not held & kept


def test_rare_classes_are_spread_evenly() -> None:
    presence = np.zeros((100, 3), dtype=bool)
    presence[:, 0] = True
    presence[:20, 1] = True
    presence[15:25, 2] = True
    for fold in range(1, 6):
        held = validation_mask(samples(100), Split(fold=f'{fold} of 5'), presence, 0)
        assert presence[held].sum(0).tolist() == pytest.approx([20, 4, 2], abs=1)


@pytest.mark.parametrize('share', [0.1, 0.15, 0.25, 0.5, 0.7])
def test_a_share_is_held_out(share: float) -> None:
    held = validation_mask(samples(100), Split(val_fraction=share), np.ones((100, 1), dtype=bool), 0)
    assert held.sum() == pytest.approx(100 * share, abs=1)


def test_the_seed_decides() -> None:
    presence = np.ones((30, 1), dtype=bool)
    first, again, other = (validation_mask(samples(30), Split(fold='1 of 3'), presence, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_lists_are_read_back(tmp_path: Path) -> None:
    data = samples(6)
    for name, text in list_texts(data[:4], data[4:], Path('/data')).items():
        (tmp_path / name).write_text(text)
    assert (tmp_path / 'val.txt').read_text() == '4.jpg\n5.jpg\n'
    train, val = read_lists(tmp_path, data[::-1], Path('/data'))
    assert (list(train), list(val)) == (data[:4], data[4:])
    with pytest.raises(DataError, match=r'val.txt names 5.jpg, which is not among'):
        read_lists(tmp_path, data[:5], Path('/data'))


def test_lists_can_name_files_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b'\xff\xe9')
    data = [Sample(Path(f'/data/{name}.jpg'), name), Sample(Path('/data/a.jpg'), 'a')]
    for file, text in list_texts(data[:1], data[1:], Path('/data')).items():
        (tmp_path / file).write_bytes(os.fsencode(text))
    train, val = read_lists(tmp_path, data, Path('/data'))
    assert (list(train), list(val)) == (data[:1], data[1:])


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({}, 'needs exactly one of val_fraction, fold, folder'),
        ({'fold': '1 of 5', 'val_fraction': 0.2}, 'needs exactly one of'),
        ({'val_fraction': 1.0}, 'must be between 0 and 1, got 1.0'),
        ({'fold': '6 of 5'}, r"must look like '2 of 5' \(starting at 1\), got '6 of 5'"),
        ({'fold': '0 of 5'}, 'starting at 1'),
        ({'fold': 2}, r"must look like '2 of 5' \(starting at 1\), got '2'"),
        ({'fold': '1 of 2', 'group': '('}, 'not a regular expression'),
    ],
)
def test_an_invalid_split_is_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Split(**values)


def test_a_group_that_is_optional_in_its_expression_is_not_found_where_it_matches_nothing() -> None:
    assert Split(fold='1 of 2', group='^(x)?0').group_of('x01') == 'x'
    with pytest.raises(DataError, match=r"does not match the image name '01'"):
        Split(fold='1 of 2', group='^(x)?0').group_of('01')


def test_more_parts_than_groups_are_rejected() -> None:
    with pytest.raises(DataError, match=r'makes 5 parts, but data.train has only 3 groups'):
        validation_mask(samples(9, 3), Split(fold='1 of 5', group='^[^_]+'), np.ones((9, 1), dtype=bool), 0)


def marked(count: int, only_train: int) -> list[Sample]:
    return [replace(each, only_train=index < only_train) for index, each in enumerate(samples(count))]


@pytest.mark.parametrize('split', [Split(fold='1 of 2'), Split(val_fraction=0.5), Split(fold='3 of 3')])
def test_samples_that_only_train_are_never_validated_on(split: Split) -> None:
    data = marked(16, 6)
    train, val = split_samples(data, split, np.ones((16, 1), dtype=bool), 0)
    assert not any(each.only_train for each in val)
    assert [each for each in data if each in train or each in val] == data
    assert len(train) + len(val) == 16
    assert val
    with pytest.raises(DataError, match=r'every source of data\.train has only_train'):
        split_samples(marked(4, 4), split, np.ones((4, 1), dtype=bool), 0)


def test_samples_with_only_train_are_independent_of_lists(tmp_path: Path) -> None:
    data = marked(6, 2)
    (tmp_path / 'train.txt').write_text('2.jpg\n0.jpg\n')
    (tmp_path / 'val.txt').write_text('3.jpg\n')
    train, val = read_lists(tmp_path, data, Path('/data'))
    assert [each.name for each in train] == ['2', '0', '1']
    assert [each.name for each in val] == ['3']
    (tmp_path / 'val.txt').write_text('1.jpg\n')
    with pytest.raises(DataError, match=r'val.txt names /data/1.jpg, whose source has only_train: true'):
        read_lists(tmp_path, data, Path('/data'))


def test_a_file_of_groups_keeps_its_images_together(tmp_path: Path) -> None:
    data = samples(12)
    path = tmp_path / 'groups.csv'
    path.write_text('group,split,image\n1,train,0.jpg\n1,val,7.jpg\n2,train,3.jpg\n2,train,4.jpg\n2,test,gone.jpg\n')
    split = Split(fold='1 of 4', group=str(path))
    names = groups_of(data, split, Path('/data'))
    assert names[0] == names[7]
    assert names[3] == names[4]
    assert len(set(names)) == 10
    for fold in range(1, 5):
        split = Split(fold=f'{fold} of 4', group=str(path))
        held = validation_mask(data, split, np.ones((12, 1), dtype=bool), 0, Path('/data'))
        assert held[0] == held[7]
        assert held[3] == held[4]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'groups.csv cannot be read: No such file or directory'),
        ('image\n0.jpg\n', 'groups.csv must have the columns image and group'),
        ('image,group\n/other/0.jpg,1\n', 'groups.csv names none of the images, for example 0.jpg'),
    ],
)
def test_a_wrong_file_of_groups_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / 'groups.csv'
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        groups_of(samples(4), Split(fold='1 of 2', group=str(path)), Path('/data'))
