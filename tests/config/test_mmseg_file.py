"""Configs of mmseg are Python, of which nothing runs but assignments of plain values."""

from pathlib import Path

import pytest

from seglight.config.mmseg_file import read_mmseg_config
from seglight.errors import ConfigError


def test_values_of_a_base_and_plain_python_are_read(tmp_path: Path) -> None:
    (tmp_path / 'base.py').write_text("model = dict(type='A', heads=[1, 2])\n")
    (tmp_path / 'a.py').write_text(
        "_base_ = ['./base.py']\nheads = {{ _base_.model.heads }}\n"
        'sizes = [int(512 * ratio) for ratio in (0.5, 1.0)]\nif len(sizes) == 2:\n    sizes += [range(3)[1]]\n'
    )
    config = read_mmseg_config(tmp_path / 'a.py')
    assert config['heads'] == config['model']['heads'] == [1, 2]
    assert config['sizes'] == [256, 512, 1]


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('_base_ = []\nx = _base_.__class__', "a.py:2: a config may not have '_base_.__class__'"),
        ('x = {{_base_.__class__}}', "'_base_.__class__'"),
        ('x = {{_base_.model, 1}}', "'_base_.model'"),
        ('x = [].append', "'[].append'"),
        ('int = 1', 'another meaning of int'),
        ('for int in [1]:\n    int(1)', 'another meaning of int'),
        ('x = [list for list in [1]]', 'another meaning of list'),
        ('len += 1', 'another meaning of len'),
        ('x = (len := 1)', "'(len := 1)'"),
        ('try:\n    x = 1\nexcept Exception as str:\n    x = 2', "'try:'"),
        ('match 1:\n    case int: x = 1', "'match 1:'"),
        ('import os as dict', "'import os as dict'"),
        ('_base_ = []\n_base_ = []', 'a.py:2: a config may not have the name _base_'),
        ('if 1: _base_ = ["b.py"]', 'the name _base_'),
        ('x, _base_ = 1, ["b.py"]', 'the name _base_'),
        ('x = _base_ = []', 'the name _base_'),
        ('_base_ = []\n_base_ += ["b.py"]', 'the name _base_'),
        ('_base_ = "b.yaml"', 'no .py file'),
        ('x = "\\{{_base_.y}} + open(1) #"', "'{{' in a text"),
        ('x = f"\\{{_base_.y}} + open(1) #"', 'a config may not have'),
        ('x = 1  # {{ fileBasename }}', 'mmcv would replace with part of a path'),
        ('# coding: utf-7\nx = 1  # +AAo-open(1)', 'its encoding is utf-7'),
    ],
)
def test_what_could_run_code_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / 'b.yaml').write_text('x: 1')
    (tmp_path / 'a.py').write_text(text)
    with pytest.raises(ConfigError) as error:
        read_mmseg_config(tmp_path / 'a.py')
    assert said in str(error.value)


def test_a_renamed_attribute_of_a_base_runs_no_command(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text(
        '_base_ = []\nint = _base_.__class__.__base__.__subclasses__\nsubs = int()\n'
        'found = [c for c in subs if str(c) == "<class \'os._wrap_close\'>"]\n_base_ = found[0]\n'
        '_base_ = _base_.__init__\ng = _base_.__globals__\nlist = g["mkdir"]\n'
        f'list({str(tmp_path / "ran")!r})\n_base_ = []\n'
    )
    with pytest.raises(ConfigError):
        read_mmseg_config(tmp_path / 'a.py')
    assert not (tmp_path / 'ran').exists()
