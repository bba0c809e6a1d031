"""Readers of strangers' files give what an independent reader gives, or one error of their own, for any input.

The inputs are the same in every run.
"""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as mask_utils

from seglight.arrays import ERRORS, load_arrays
from seglight.config.mmseg.file import parse_mmseg_config
from seglight.config.settings import without_tuples
from seglight.data.sources.coco.shapes import encode
from seglight.errors import DataError, OutputError, UserError
from seglight.masking import MASK, masked, masked_text
from seglight.names import name_fault, path_below
from seglight.plain_text import load_json, load_yaml
from seglight.submissions import format_labels, parse_labels

few = settings(
    max_examples=50,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
#: YAML has another spelling of exponents than JSON.
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
ASCII_WORDS = st.from_regex(r'[a-z][a-z_]{0,6}', fullmatch=True)
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6) | ASCII_WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(ASCII_WORDS, inner, max_size=3),
    max_leaves=8,
)


@few
@given(PLAIN)
def test_json_and_yaml_give_what_was_written(value: Any) -> None:
    assert load_json(json.dumps(value), 'a.json') == value
    assert load_yaml(json.dumps(value, ensure_ascii=False), 'a.yaml') == yaml.safe_load(json.dumps(value))


@few
@given(st.text(max_size=60) | st.text('{}[]:,&*!|>-# \n\t"\'<a1~', max_size=60))
def test_any_text_is_yaml_and_json_or_one_line(text: str) -> None:
    for read in (load_yaml, load_json):
        try:
            read(text, 'a file')
        except UserError as error:
            assert str(error).startswith('a file')
            assert len(str(error).splitlines()) == 1


@few
@given(st.dictionaries(ASCII_WORDS, LITERALS, max_size=4))
def test_a_python_config_of_literals_gives_its_values(values: dict[str, Any]) -> None:
    names = {f'key_{name}': value for name, value in values.items()}  # none is a keyword
    text = '\n'.join(f'{name} = {value!r}' for name, value in names.items())
    assert parse_mmseg_config(text, 'a.py') == without_tuples(names)


@few
@given(st.text(max_size=60) | st.text('a=1+-*/%()[]{}, \n.\'"lambdaifforinx:', max_size=60))
def test_any_text_is_a_python_config_or_one_line(text: str) -> None:
    try:
        parse_mmseg_config(text, 'a.py')
    except UserError as error:
        assert str(error).startswith('a.py')
        assert len(str(error).splitlines()) == 1


@few
@given(st.text(max_size=12) | st.text('./\\~ab\0\n\u2028\ud800', max_size=12))
def test_names_stay_below_their_folder(name: str) -> None:
    folder = Path('/some/folder')
    try:
        path = path_below(folder, name, '.png')
    except OutputError:
        assert name_fault(name)
        return
    assert folder in path.parents
    assert '..' not in path.parts
    assert path.as_posix() == f'/some/folder/{name}.png'


@few
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 1)))
def test_run_lengths_of_both_kinds_are_the_mask(mask: np.ndarray[Any, Any]) -> None:
    height, width = mask.shape
    packed = mask_utils.encode(np.asfortranarray(mask))
    column = mask.ravel(order='F')
    edges = np.flatnonzero(np.diff(column)) + 1
    lengths = np.diff([0, *edges, column.size]).tolist()
    plain = [0, *lengths] if column[0] else lengths
    for counts in (packed['counts'].decode(), plain):
        found, _ = encode({'size': [height, width], 'counts': counts}, height, width)
        assert np.array_equal(mask_utils.decode(found), mask)


SHAPES = (
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
    | st.lists(st.integers(-(2**70), 2**70), max_size=5)
    | st.lists(st.floats() | st.integers(-(2**70), 2**70) | st.none(), max_size=10)
    | st.lists(st.lists(st.floats(), max_size=8), max_size=3)
    | PLAIN
)


@few
@given(SHAPES, st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_any_shape_is_painted_or_refused(shape: Any, height: int, width: int, lengths: bool) -> None:
    given_shape = {'size': [height, width], 'counts': shape} if lengths else shape
    try:
        packed, length = encode(given_shape, height, width)
    except DataError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert math.isfinite(length)
    assert mask_utils.decode(packed).shape[:2] == (height, width)


@few
@given(arrays(np.uint8, st.integers(0, 40)))
def test_labels_of_a_submission_come_back(labels: np.ndarray[Any, Any]) -> None:
    text = format_labels(labels)
    assert text == b' '.join(str(label).encode() for label in labels)
    assert np.array_equal(parse_labels(text), labels)


@few
@given(st.binary(max_size=40) | st.text('0123456789 -+.e,\n', max_size=40).map(str.encode))
def test_any_bytes_are_labels_or_refused(text: bytes) -> None:
    try:
        labels = parse_labels(text)
    except ValueError:
        return
    assert labels.tolist() == [int(word) for word in text.split()]


@few
@given(st.data())
def test_a_damaged_npz_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.arange(6).reshape(2, 3), b=np.array(['x', 'yz']))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / 'a.npz').write_bytes(content)
    try:
        found = load_arrays(tmp_path / 'a.npz', 1 << 20)
    except ERRORS:
        return
    assert sum(array.nbytes for array in found.values()) <= 1 << 20


@few
@given(ASCII_WORDS, st.text('abc/?#:@!$', min_size=1, max_size=8))
def test_no_password_is_left_in_an_address(user: str, password: str) -> None:
    text = masked_text(f'see https://{user}:{password}@host/x now')
    assert text == f'see https://{MASK}@host/x now'
    assert masked({'a': [{'api_keys': [password]}]}) == {'a': [{'api_keys': [MASK]}]}
