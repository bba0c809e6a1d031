"""Configs of mmseg are Python, which is read as a tree within limits; nothing of it runs."""

import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from mmcv import Config

from seglight.config.mmseg.file import parse_mmseg_config, read_mmseg_config
from seglight.config.mmseg.packaged import zoo_folder
from seglight.config.mmseg.zoo import zoo_names
from seglight.config.settings import without_tuples
from seglight.errors import ConfigError, UsageError


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
        ('_base_ = []\nx = _base_.__class__', "a.py:2: a config may not contain '_base_.__class__'"),
        ('x = {{_base_.__class__}}', "'_base_.__class__'"),
        ('x = {{_base_.model, 1}}', "'_base_.model'"),
        ('x = [].append', "'[].append'"),
        ('int = 1', 'a redefinition of int'),
        ('for int in [1]:\n    int(1)', "a.py:1: a config may not contain 'for int in [1]:'"),
        ('x = [list for list in [1]]', 'a redefinition of list'),
        ('len += 1', 'a redefinition of len'),
        ('x = (len := 1)', "'(len := 1)'"),
        ('try:\n    x = 1\nexcept Exception as str:\n    x = 2', "'try:'"),
        ('match 1:\n    case int: x = 1', "'match 1:'"),
        ('import os as dict', "'import os as dict'"),
        ('_base_ = []\n_base_ = []', 'a.py:2: _base_ must be assigned only once'),
        ('if 1: _base_ = ["b.py"]', 'the name _base_'),
        ('x, _base_ = 1, ["b.py"]', 'the name _base_'),
        ('x = _base_ = []', 'the name _base_'),
        ('_base_ = []\n_base_ += ["b.py"]', 'the name _base_'),
        ('_base_ = "b.yaml"', 'neither a .py file'),
        ('x = "\\{{_base_.y}} + open(1) #"', "'{{' in a string"),
        ('x = f"\\{{_base_.y}} + open(1) #"', 'a config may not contain'),
        ('# coding: utf-7\nx = 1  # +AAo-open(1)', 'its encoding must be utf-8, got utf-7'),
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


def as_mmcv_reads(path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return without_tuples(Config.fromfile(str(path), import_custom_modules=False)._cfg_dict.to_dict())


@pytest.mark.slow
def test_every_config_of_the_zoo_is_what_mmcv_reads() -> None:
    names = zoo_names()
    assert len(names) == 644
    for name in names:
        path = zoo_folder() / f'{name}.py'
        ours, theirs = read_mmseg_config(path), as_mmcv_reads(path)
        assert ours == theirs, name
        assert list(ours) == list(theirs), name


#: What people's own configs have beyond those of the zoo.
WRITTEN = {
    'f-strings': "n = 3\nx = f'{n:03d} of {n!r} {0.5:.2f} {1e-3} {n:>{n}}'",
    'percent': "x = '%s_%03d %.1f' % ('a', 7, 2.5)\ny = '%d%%' % 5",
    'concatenation': "root = 'data/' + 'own'\nx = root + '/img' 'x'\ny = 'ab' * 3",
    'arithmetic': 'n = 4\nx = [n * 2, n // 3, n % 3, n / 8, 2**n, -n, +n, ~n, (n + 1) * 0.5, 2**-1, True + 1]',
    'unpacking': 'a, (b, c) = 1, (2, [3])\nx = [a, b, c, *c, *(1, 2)]',
    'slices': "a = [1, 2, 3, 4]\nx = a[1:] + a[:-1] + a[::-1]\ny = ('abc'[1], a[-1], {'k': 5}['k'], (1, 2)[0:1])",
    'dicts': "a = dict(b=1, c=dict(d=2))\nx = dict(a, e=3)\ny = dict(**a, f=4)\nz = {**a, 'b': 5}\nw = dict([('k', 1)])",
    'comprehensions': (
        'x = [[i, j] for i in range(4) if i % 2 for j in (1, 2) if j < i]\n'
        "y = {f'k{i}': [i] * 2 for i in [1, 2]}\nz = sum(i * i for i in range(5))\n"
        "w = {name: v for name, v in [('a', 1)]}"
    ),
    'a loop keeps its names to itself': 'i = 7\nx = [i for i in range(3)]\ny = i',
    'conditions': (
        "n = 3\nx = 1 if n > 2 and not n == 4 else 2\ny = 'a' in ['a'] or 0\nz = None is None\n"
        'if n < 1:\n    w = 1\nelif 1 < n <= 3:\n    w = 2\nelse:\n    w = 3'
    ),
    'changes in place': "a = [1]\nb = a\na += (2,)\nc = dict(k=[1])\nc['k'][0] = 5\nc['n'] = a\nn = 1\nn *= 3\nt = (1,)\nt += (2,)",
    'functions': "x = [len('abc'), int('5'), float('1e-3'), str(2.5), min(1, 2), max([3, 4]), abs(-2), list((1,)), tuple([2]), bool([])]",
    'the file in texts': "work_dir = './{{ fileBasenameNoExtension }}{{fileExtname}}'\nx = '{{fileDirname}}/{{ fileBasename }}'  # {{ fileBasename }}",
    'names with one underscore': '_a = 1\nx: int = _a\n"""A text."""\npass',
    'other braces': "x = '{{ name }} {{'",
}  # fmt: skip


@pytest.mark.parametrize('case', WRITTEN)
def test_what_people_write_has_the_values_that_mmcv_gives_it(case: str, tmp_path: Path) -> None:
    path = tmp_path / 'own_config.py'
    path.write_text(WRITTEN[case])
    assert read_mmseg_config(path) == as_mmcv_reads(path)


def test_bases_are_merged_as_mmcv_merges_them(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text("model = dict(head=dict(type='A', n=1, t=(1, 2)), keep=1)\nsizes = [(1, 2)]\n")
    (tmp_path / 'b.py').write_text("_base_ = 'a.py'\nlr = 0.1\nmodel = dict(more=dict(k=2))\n")
    (tmp_path / 'c.py').write_text('data = dict(n=4)\n')
    (tmp_path / 'd.py').write_text(
        "_base_ = ['./b.py', 'c.py']\nmodel = dict(head=dict(_delete_=True, type='B'), new=dict(_delete_=True, k=1))\n"
        'x = dict(s={{ _base_.sizes }}, t=[{{_base_.model.head.type}}, ({{_base_.data}},)])\ndata = dict(n=[5])\n'
    )
    assert read_mmseg_config(tmp_path / 'd.py') == as_mmcv_reads(tmp_path / 'd.py')


def test_values_of_a_base_can_be_calculated_with(tmp_path: Path) -> None:
    (tmp_path / 'a.py').write_text('size = (512, 1024)\n')
    (tmp_path / 'b.py').write_text("_base_ = 'a.py'\nhalf = [side // 2 for side in {{_base_.size}}]\n")
    assert read_mmseg_config(tmp_path / 'b.py')['half'] == [256, 512]


def test_a_quote_in_the_name_of_a_file_stays_in_the_text(tmp_path: Path) -> None:
    path = tmp_path / "x'; y = 1; z='.py"
    path.write_text("x = '{{ fileBasename }}'\n")
    assert read_mmseg_config(path) == {'x': path.name}


HOSTILE = {
    'a large power': ('x = 9**9**9', 'a.py:1: the number is too large'),
    'a small base and a large power': ('x = 1**10**30\ny = 2**10**30', 'too large'),
    'products': ('a = 10**30\nb = a * a', 'a.py:2: the number is too large'),
    'a long loop': ('x = [i for i in range(10**12)]', 'more than 200000 steps'),
    'a range beyond what can be counted': ('x = list(range(10**20))', 'a.py:1'),
    'loops in loops': ('x = [1 for a in range(999) for b in range(999) for c in range(999)]', 'steps'),
    'a for loop': ('a = [1]\nfor i in a:\n    a += [i]', "a.py:2: a config may not contain 'for i in a:'"),
    'a while loop': ('while True: pass', "'while True:'"),
    'division by zero': ('x = 1\ny = 1/0', 'a.py:2: division by zero'),
    'a long text': ("x = 'x'*10**12", 'steps'),
    'a long text in steps': ("x = 'x' * 100000\ny = x + x", 'a.py:2: a string has 200000 characters'),
    'a wide field': ("x = f'{1:1000000000}'", 'a config may not contain'),
    'a wide field by percent': ("x = '%1000000000d' % 1", 'a config may not contain'),
    'a field of any width': ("x = '%*d' % (10**9, 1)", 'a config may not contain'),
    'signs': (f'x = {"-" * 20000}1', 'a.py'),
    'signs in what is assigned': (f'a = [1]\na[{"-" * 900}0] = 1', 'nested deeper'),
    'signs in a loop': (f'for x in {"-" * 900}1: pass', 'a.py:1: a config may not contain'),
    'brackets': (f'x = {"[" * 5000}{"]" * 5000}', 'a.py'),
    'brackets that Python parses': (f'x = {"[" * 90}{"]" * 90}\ny = {"(" * 190}1{")" * 190}+ {"-" * 150}1', 'nested deeper than 100 levels'),
    'a chain of elif': ('if 0: x = 1\n' + 'elif 0: x = 1\n' * 500, 'nested deeper'),
    'lists that double': ('a = [1]\n' + 'a = [a, a]\n' * 60, 'steps'),
    'compared lists that double': ('a = [1]\nb = [1]\n' + 'a = [a, a]\nb = [b, b]\n' * 60 + 'c = a == b', 'a comparison of lists'),
    'lists that double as a text': ('a = [1]\n' + 'a = [a, a]\n' * 60 + "c = f'{a}'", 'a config may not contain'),
    'lists that double as a text of str': ('a = [1]\n' + 'a = [a, a]\n' * 60 + 'c = str(a)', 'str() of lists'),
    'a list in a list in a list': ('a = []\n' + 'a = [a]\n' * 3000, 'nested deeper than 100 levels'),
    'a list in itself': ('a = []\na += [a]', 'contains itself'),
    'a dict in itself': ("a = {}\na['a'] = a", 'contains itself'),
    'long texts in many places': ("a = 'x' * 90000\nb = [a] * 90000", 'steps'),
    'a number of 5,000 digits': ('x = ' + '1' * 5000, 'a.py'),
    'a large hexadecimal number': ('x = 0x' + 'f' * 5000, 'too large'),
    'infinite sums': ("x = sum(['a'])", 'a.py:1: unsupported operand'),
    'sums of lists': ('x = sum([[1], [2]], [])', 'sum() of lists'),
    'an index that is not there': ('a = [1]\nx = a[3]', 'a.py:2: list index out of range'),
    'an unknown key': ("a = {}\nx = a['b']", "a.py:2: unknown key 'b'"),
    'a key that is a list': ('x = {(1, 2): 3}', 'a key must be a string or a number, got tuple'),
    'an unknown name': ('x = nothing', "a.py:1: unknown name 'nothing'"),
    'too few names': ('a, b = 1, 2, 3', '3 values for 2 names'),
    'a text with NUL': ('x = 1\0', 'a.py'),
    'a function as a value': ('x = dict', 'a function as a value'),
    'a set': ('x = {1, 2}', "a config may not contain '{1, 2}'"),
    'bytes': ("x = b'a'", "b'a'"),
    'a method': ("x = ' '.join(['a'])", 'a call of'),
    'a lambda': ('x = lambda: 1', "'lambda: 1'"),
    'a base that is no text': ('_base_ = 5', 'a.py:1: _base_ must be a path or a list of paths'),
    'a base that is computed': ("_base_ = 'a' + 'b'", '_base_ must be a path or a list of paths'),
    'a missing value of a base': ('x = {{_base_.model}}', "have no 'model'"),
    'imports of others': ("custom_imports = dict(imports=['my_models'], allow_failed_imports=False)", "name its classes by their paths, such as type='my_models.MyHead'"),
    'too many characters': ('#' * 1_000_001, '1000001 characters'),
}  # fmt: skip


@pytest.mark.parametrize('case', HOSTILE)
def test_what_is_wrong_or_endless_ends_in_a_sentence_at_once(case: str, tmp_path: Path) -> None:
    text, said = HOSTILE[case]
    (tmp_path / 'a.py').write_text(text)
    start = time.process_time()
    with pytest.raises(ConfigError) as error:
        read_mmseg_config(tmp_path / 'a.py')
    assert time.process_time() - start < 5
    assert said in str(error.value)
    assert str(error.value).startswith(f'{tmp_path}/a.py')
    assert len(str(error.value)) - len(str(tmp_path)) < 300


def test_files_that_name_each_other_many_times_are_read_once(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f'd{number}.py').write_text(f"_base_ = ['d{number + 1}.py', './d{number + 1}.py']\n")
    (tmp_path / 'd40.py').write_text('')
    assert read_mmseg_config(tmp_path / 'd0.py') == {}


def test_a_chain_of_too_many_files_is_refused(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f'd{number}.py').write_text(f"_base_ = 'd{number + 1}.py'\n")
    with pytest.raises(ConfigError, match='may have at most 100 files'):
        read_mmseg_config(tmp_path / 'd0.py')


def test_values_that_double_from_base_to_base_are_refused(tmp_path: Path) -> None:
    (tmp_path / 'd0.py').write_text("a = ['x']\n")
    for number in range(1, 40):
        (tmp_path / f'd{number}.py').write_text(
            f"_base_ = 'd{number - 1}.py'\na = [{{{{_base_.a}}}}, {{{{_base_.a}}}}]\n"
        )
    with pytest.raises(ConfigError, match='steps'):
        read_mmseg_config(tmp_path / 'd39.py')


def test_the_text_of_a_checkpoints_config_has_the_same_limits() -> None:
    text = Config({'model': {'a': (1, 2), '0.b': None}, 'lr': 1e-3}).pretty_text
    assert parse_mmseg_config(text, 'x') == {'model': {'a': [1, 2], '0.b': None}, 'lr': 1e-3}
    for hostile, said in (
        ('x = 9**9**9', 'x:1: the number'),
        ('x = open("a")', 'a call of open'),
        (f'x = {"-" * 20000}1', 'x'),
    ):
        with pytest.raises(ConfigError) as error:
            parse_mmseg_config(hostile, 'x')
        assert said in str(error.value)


@pytest.mark.parametrize(
    ('name', 'base'),
    [
        ('own/p.py', 'configs/_base_/models/fcn_unet_s5-d16.py'),
        ('configs/mine/p.py', '../_base_/models/fcn_unet_s5-d16.py'),
    ],
)
def test_a_base_below_configs_may_be_mmsegs_own(name: str, base: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(f"_base_ = '{base}'\n")
    own = read_mmseg_config(zoo_folder() / '_base_/models/fcn_unet_s5-d16.py')
    assert read_mmseg_config(path) == own
    path.write_text("_base_ = 'configs/gone.py'\n")
    with pytest.raises(UsageError, match=r'which is neither a \.py file in .* nor one of mmseg in configs/'):
        read_mmseg_config(path)
