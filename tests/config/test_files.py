"""Reading and inheriting YAML configs."""

from pathlib import Path

import pytest

from seglight.config.files import SHIPPED, find_config, load_config
from seglight.errors import ConfigError


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f'{name}.yaml'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_bases_merge_from_left_to_right_and_the_own_keys_last(tmp_path: Path) -> None:
    write(
        tmp_path,
        one='a: {x: 1, y: 1, z: 1}\n',
        two='a: {y: 2, z: 2}\n',
        run='_base_: [one.yaml, two.yaml]\na: {z: 3}\n',
    )
    assert load_config(tmp_path / 'run.yaml').values == {'a': {'x': 1, 'y': 2, 'z': 3}}


def test_a_base_is_relative_to_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'parts' / 'deep').mkdir(parents=True)
    (tmp_path / 'parts' / 'deep' / 'c.yaml').write_text('v: 1\n')
    (tmp_path / 'parts' / 'b.yaml').write_text('_base_: deep/c.yaml\nw: 2\n')
    (tmp_path / 'runs' / 'a.yaml').write_text('_base_: ../parts/b.yaml\n')
    monkeypatch.chdir('/')
    assert load_config(tmp_path / 'runs' / 'a.yaml').values == {'v': 1, 'w': 2}


def test_every_key_knows_its_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, base='m:\n  a: 1\n  b: 2\n', run='_base_: base.yaml\n\nm:\n  b: 3\n')
    settings = load_config(tmp_path / 'run.yaml')
    assert str(settings.origin(('m', 'a'))) == f'{tmp_path}/base.yaml:2'
    assert str(settings.origin(('m', 'b'))) == f'{tmp_path}/run.yaml:4'


def test_numbers_in_scientific_form_are_numbers(tmp_path: Path) -> None:
    write(tmp_path, run='a: 1e-3\nb: 5E4\nc: 1.5e+2\nd: 1e\ne: -2e-1\n')
    assert load_config(tmp_path / 'run.yaml').values == {'a': 0.001, 'b': 5e4, 'c': 150.0, 'd': '1e', 'e': -0.2}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('a: 1\nb: {c: 2, c: 3}\n', "run.yaml:2: duplicate key 'c'"),
        ('a: [1, 2\nb: 3\n', 'run.yaml:2: not valid YAML'),
        ('- 1\n- 2\n', 'a config must be a mapping'),
        ('_base_: gone.yaml\n', 'run.yaml:1: _base_ names gone.yaml, which does not exist'),
        ('_base_: {a: 1}\n', 'run.yaml:1: _base_ must be a path or a list of paths'),
        ('_base_: [1]\n', 'run.yaml:1: _base_ must be a path or a list of paths'),
        ('_base_: run.yaml\n', '_base_ leads back to the same file: run.yaml -> run.yaml'),
        ('a: !!python/object/apply:os.system [true]\n', 'not valid YAML'),
    ],
)
def test_a_faulty_file_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, run=text)
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / 'run.yaml')
    assert said in str(error.value)


def test_a_longer_cycle_is_shown_whole(tmp_path: Path) -> None:
    write(tmp_path, a='_base_: b.yaml\n', b='_base_: c.yaml\n', c='_base_: a.yaml\n')
    with pytest.raises(ConfigError, match=r'a\.yaml -> b\.yaml -> c\.yaml -> a\.yaml'):
        load_config(tmp_path / 'a.yaml')


def test_the_same_base_twice_is_no_cycle(tmp_path: Path) -> None:
    write(tmp_path, root='v: 1\n', a='_base_: root.yaml\n', b='_base_: root.yaml\n', run='_base_: [a.yaml, b.yaml]\n')
    assert load_config(tmp_path / 'run.yaml').values == {'v': 1}


def test_a_config_is_found_as_a_path_first_and_then_among_the_shipped(workspace: Path) -> None:
    assert find_config('demo.yaml') == SHIPPED / 'demo.yaml'
    (workspace / 'demo.yaml').write_text('{}')
    assert find_config('demo.yaml') == Path('demo.yaml')


def test_an_unknown_config_names_the_nearest(workspace: Path) -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'pspnet\.yaml'"):
        find_config('pspent.yaml')
