"""Names of images that may become part of a path, and those that may not."""

from pathlib import Path

import pytest

from seglight.errors import OutputError
from seglight.names import clash, name_fault, path_below


@pytest.mark.parametrize('name', ['a', 'a/b', 'a b', 'a.b', '.a', 'ä', 'x\udcff', 'a\u202fPM', '=1+1', 'x' * 250])
def test_what_file_systems_hold_is_a_name(name: str, tmp_path: Path) -> None:
    assert name_fault(name) is None
    path = path_below(tmp_path, name, '.png')
    path.parent.mkdir(exist_ok=True)
    path.touch()  # the file system agrees
    assert path.resolve().is_relative_to(tmp_path.resolve())


@pytest.mark.parametrize(
    'name, said',
    [
        ('/abs/victim', 'leads out'),
        ('../x', 'leads out'),
        ('a/../../x', 'leads out'),
        ('..', 'leads out'),
        ('', 'not the path of a file'),
        ('.', 'not the path of a file'),
        ('a/', 'not the path of a file'),
        ('a//b', 'not the path of a file'),
        ('./a', 'not the path of a file'),
        ('a\nb', 'line break'),
        ('a\rb', 'line break'),
        ('a\0b', 'control character'),
        ('a\x1b[2J', 'control character'),
        ('a\u2028b', 'line break'),
        ('a\ud800', 'that file names cannot contain'),
    ],
)
def test_what_would_lead_elsewhere_is_refused(name: str, said: str, tmp_path: Path) -> None:
    assert said in (name_fault(name) or '')
    with pytest.raises(OutputError, match=said):
        path_below(tmp_path, name, '.png')


def test_a_file_that_would_be_a_folder_is_found() -> None:
    assert clash(['a', 'b', 'a.png/c/d'], '.png') == ('a', 'a.png/c/d')
    assert clash(['a', 'b', 'a.png/c/d'], '.jpg') is None
    assert clash(['a', 'a/b', 'a.b'], '.png') is None


@pytest.mark.parametrize('suffix', ['/../x', '/../../../.bashrc', '\n.png'])
def test_a_suffix_does_not_lead_elsewhere(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"the image name 'a' (leads out of its folder|has a control character)"):
        path_below(tmp_path, 'a', suffix)
