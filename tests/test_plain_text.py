"""YAML and JSON of anybody: values, or one sentence at once."""

import time
from pathlib import Path

import pytest
import yaml

from seglight.config.files import load_config
from seglight.errors import ConfigError, DataError, UserError
from seglight.plain_text import MAX_CHARACTERS, MAX_VALUES, load_json, load_yaml, load_yaml_file

LAUGHS = 'a0: &a0 [x, x]\n' + ''.join(f'a{n}: &a{n} [{", ".join([f"*a{n - 1}"] * 9)}]\n' for n in range(1, 12))
MERGES = 'a0: &a0 {x: 1}\n' + ''.join(f'a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n' for n in range(1, 30))

HOSTILE = {
    'a billion laughs': (LAUGHS, f'x:6: not valid YAML: more than {MAX_VALUES} values, including aliases'),
    'merges that double': (MERGES, 'including aliases'),
    'a list in itself': ('a: &a [1, *a]', 'x:1: not valid YAML: a value that contains itself'),
    'a dict in itself': ('a: &a\n  b: *a', 'x:2: not valid YAML: a value that contains itself'),
    'a key in itself': ('&a {*a : 1}', 'contains itself'),
    'levels of lists': ('a: ' + '[' * 5000 + ']' * 5000, 'x:1: not valid YAML: nested deeper than 64 levels'),
    'levels that do not end': ('[' * 5000, 'nested deeper than 64 levels'),
    'levels of dicts': ('{a: ' * 5000 + '1' + '}' * 5000, 'nested deeper than 64 levels'),
    'levels by indentation': ('\n'.join(' ' * n + 'a:' for n in range(2000)), 'nested deeper than 64 levels'),
    'levels of dashes': ('- ' * 3000 + 'a', 'nested deeper than 64 levels'),
    'a list as a key': ('? [a, b]\n: 1', 'x:1: not valid YAML: found unhashable key'),
    'NUL': ('a: 1\0', 'x: not valid YAML: unacceptable character #x0000'),
    'a control character': ('a: "\x07"', 'x: not valid YAML: unacceptable character'),
    '5,000 digits': ('a: ' + '1' * 5000, 'x:1: not valid YAML: a number of more than 400 digits'),
    'many sixties': ('a: 1' + ':00' * 5000, 'a number of more than 400 digits'),
    'a number that is none': ('a: !!int three', "x:1: not valid YAML: 'three' is not of the type int"),
    'a float that is none': ('a: !!float x', "'x' is not of the type float"),
    'a bool that is none': ('a: !!bool x', "'x' is not of the type bool"),
    'a date by its tag': ('a: !!timestamp 2020-01-01', 'x:1: not valid YAML: could not determine a constructor'),
    'a set': ('a: !!set {b, c}', 'could not determine a constructor'),
    'binary': ('a: !!binary YQ==', 'could not determine a constructor'),
    'an object': ('a: !!python/object/apply:os.mkdir [was_run]', 'could not determine a constructor'),
    'an unknown tag': ('a: !foo 1', "could not determine a constructor for the tag '!foo'"),
    'a tag of the wrong kind': ('a: !!map [1]', 'x:1: not valid YAML: expected a mapping node'),
    'a merge of no dict': ('a: {<<: 1}', 'expected a mapping or list of mappings for merging'),
    'two documents': ('a: 1\n---\nb: 2', 'found another document'),
    'an alias of nothing': ('a: *b', "x:1: not valid YAML: found undefined alias 'b'"),
    'an alias bomb of texts': ('a: &a ' + 'x' * 1000 + '\nb: [' + '*a, ' * 100_001 + ']', 'values, including aliases'),
    'too many characters': ('#' * 4_000_001, 'x has more than 4000000 characters'),
    'a surrogate': ('a: "\ud800"', 'x: not valid YAML: unacceptable character'),
    'a wrong version': ('%YAML 9.9\n---\na: 1', 'not valid YAML'),
}  # fmt: skip


@pytest.mark.parametrize('case', HOSTILE)
def test_yaml_that_is_wrong_or_endless_ends_in_a_sentence_at_once(case: str) -> None:
    text, said = HOSTILE[case]
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        load_yaml(text, 'x')
    assert time.process_time() - start < 10
    assert said in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize('case', HOSTILE)
def test_a_config_file_is_read_within_the_same_limits(case: str, tmp_path: Path) -> None:
    (tmp_path / 'a.yaml').write_text(HOSTILE[case][0], errors='surrogatepass')
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / 'a.yaml')
    assert str(tmp_path / 'a.yaml') in str(error.value)


def test_values_are_those_of_pyyaml() -> None:
    text = 'a: &a [1, 0x1f, 017, 1.5, .inf, true, null, ~, yes, text, "1", 1_000]\nb: *a\nc: {<<: {d: 1}, e: 2}\n1: x\n'
    assert load_yaml(text, 'x') == yaml.safe_load(text)
    assert load_yaml('', 'x') is None


def test_dates_are_texts_also_those_that_are_none() -> None:
    text = 'a: 2020-12-13\nb: 2020-13-45\nc: 2020-12-13 10:00:00\n'
    values = {'a': '2020-12-13', 'b': '2020-13-45', 'c': '2020-12-13 10:00:00'}
    assert load_yaml(text, 'x') == values
    assert load_yaml(yaml.safe_dump(values), 'x') == values


def test_a_long_config_takes_linear_time() -> None:
    def seconds(count: int) -> float:
        text = 'a:\n' + ''.join(f'- {{name: class{n}, value: {n}}}\n' for n in range(count))
        start = time.process_time()
        assert len(load_yaml(text, 'x')['a']) == count
        return time.process_time() - start

    seconds(100)
    assert seconds(4000) < 12 * seconds(1000)


def test_files_that_name_each_other_many_times_are_read_once(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f'd{number}.yaml').write_text(f'_base_: [d{number + 1}.yaml, d{number + 1}.yaml]\nk{number}: 1\n')
    (tmp_path / 'd40.yaml').write_text('k40: 1\n')
    assert load_config(tmp_path / 'd0.yaml').values == {f'k{number}': 1 for number in range(41)}


def test_a_chain_of_too_many_files_is_refused(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f'd{number}.yaml').write_text(f'_base_: d{number + 1}.yaml\n')
    with pytest.raises(ConfigError, match='the chain of _base_ must have at most 50 files'):
        load_config(tmp_path / 'd0.yaml')


@pytest.mark.parametrize(
    ('data', 'said'),
    [
        (b'{', 'x is not valid JSON: Expecting property name'),
        (b'[' * 100_000, 'x is not valid JSON: nested too deeply'),
        (b'[' + b'1' * 5000 + b']', 'x is not valid JSON: Exceeds the limit'),
        (b'\xff\xfe\xfa', 'x is not valid JSON'),
        (b'', 'x is not valid JSON'),
    ],
)
def test_json_that_is_wrong_is_a_sentence(data: bytes, said: str) -> None:
    with pytest.raises(DataError) as error:
        load_json(data, 'x', DataError)
    assert said in str(error.value)
    assert load_json(b'{"a": [1, null]}', 'x') == {'a': [1, None]}


def test_a_file_that_is_no_text_or_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'config.yaml'
    path.write_text('a: [1, é]\n', encoding='utf-8')
    assert load_yaml_file(path) == {'a': [1, 'é']}
    path.write_bytes(bytes(range(256)))
    with pytest.raises(
        UserError, match=r"config\.yaml cannot be read: 'utf-8' codec can't decode.*; restore or remove it"
    ):
        load_yaml_file(path)
    with path.open('wb') as file:
        file.truncate(2**40)  # sparse: reading it whole would take a terabyte
    with pytest.raises(UserError, match=f'has more than {MAX_CHARACTERS} characters'):
        load_yaml_file(path)
    with pytest.raises(UserError, match=r'cannot be read: .*Is a directory'):
        load_yaml_file(tmp_path)
