"""The documentation as a site: it builds without a warning, and the pages made from the code are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

pytest.importorskip('mkdocs')
pytest.importorskip('mkdocstrings')

from site_pages import commands, config_keys, errors, hooks  # noqa: E402  (after the check for mkdocs)

from seglight.cli.tools import COMMANDS  # noqa: E402


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with `--strict`: a broken link or anchor, or a page outside the navigation, is an error."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp('site')
    config = load_config(str(ROOT / 'mkdocs.yml'), site_dir=str(folder), strict=True)
    config.plugins.on_startup(command='build', dirty=False)
    build(config)
    config.plugins.on_shutdown()
    return folder


@pytest.mark.slow
def test_the_site_builds_without_a_warning(site: Path) -> None:
    pages = {path.relative_to(ROOT / 'docs').with_suffix('').as_posix() for path in (ROOT / 'docs').rglob('*.md')}
    missing = [page for page in pages if not (site / page / 'index.html').is_file()]
    assert missing == []
    home = (site / 'index.html').read_text()
    assert 'href="tutorials/first-run/"' in home
    assert 'docs/' not in re.sub(r'<code>.*?</code>', '', home, flags=re.DOTALL).split('<article')[1]


@pytest.mark.slow
def test_the_python_api_shows_signatures_and_docstrings(site: Path) -> None:
    api = (site / 'reference/api/index.html').read_text()
    for name in ('seglight.load', 'seglight.predictor.Predictor', 'seglight.callbacks.TestTimeAugmentation'):
        assert f'id="{name}"' in api, name
    assert 'tta' in api


def test_each_new_page_of_a_folder_is_in_the_navigation(tmp_path: Path) -> None:
    (tmp_path / 'how-to').mkdir()
    for name in ('zebra', 'train', 'install'):
        (tmp_path / f'how-to/{name}.md').touch()
    assert hooks.pages_of(tmp_path, 'how-to') == ['how-to/install.md', 'how-to/train.md', 'how-to/zebra.md']
    assert 'reference/config.md' in hooks.pages_of(tmp_path, 'reference')


def test_the_folders_of_the_navigation_are_those_of_the_documentation() -> None:
    assert set(hooks.FIRST) == {path.parent.name for path in (ROOT / 'docs').rglob('*.md')}
    for folder, names in hooks.FIRST.items():
        for name in names:
            page = f'{folder}/{name}.md'
            assert page in hooks.GENERATED or (ROOT / 'docs' / page).is_file(), page


def test_links_of_the_top_become_those_of_the_site() -> None:
    text = (
        '[a](docs/how-to/train.md#x) [b](CHANGELOG.md) ![c](docs/a.jpg) [d](LICENSE) [e](https://e.org/docs/f) [g](#h)'
    )
    expected = '[a](how-to/train.md#x) [b](changelog.md) ![c](a.jpg) d [e](https://e.org/docs/f) [g](#h)'
    assert hooks.for_site(text) == expected


def test_marks_for_tests_are_not_shown() -> None:
    text = 'a\n\n<!-- not run: it needs\na GPU -->\n```sh\nb\n```\n<!-- kept -->\n'
    assert hooks.on_page_markdown(text) == 'a\n\n```sh\nb\n```\n<!-- kept -->\n'


def test_every_key_of_a_resolved_config_is_described(trained: Path) -> None:
    page = config_keys.page()
    described = set(re.findall(r'^\| `([\w.]+)` \|', page, re.MULTILINE))
    config = yaml.safe_load((trained / 'config.yaml').read_text())
    groups = {f'{group}.{key}' for group, keys in config.items() if group in config_keys.GROUPS for key in keys}
    assert len(groups) > 80
    assert groups <= described
    assert 'seed_everything' in described


def test_a_key_has_its_type_default_and_description() -> None:
    rows = {row[0]: row for row in config_keys.rows_of(config_keys.GROUPS['data'])}
    assert rows['batch_size'] == ('batch_size', 'int', '8', 'images in a batch.')
    assert rows['full'][1:3] == ('bool', 'false')
    assert rows['cache'][1:3] == ('float or null', 'null')
    assert rows['classes'][2] == 'required'
    assert rows['on_bad_sample'][1] == "Literal['error', 'skip']"


def test_every_error_in_the_source_is_listed() -> None:
    page = errors.page()
    for text in (
        'checkpoint.interval must be at least 1, got {interval}',
        'data.split needs exactly one of {ways}',
        'The {what} {folder} does not exist; {cure}{near}',
        'info: --config needs a checkpoint',
    ):
        assert f'- `` {text} ``' in page, text


def test_a_message_in_two_pieces_is_one() -> None:
    import ast

    call = ast.parse(
        """DataError(f'{path} has {len(self.rows)} rows of {", ".join(kinds)}, ' 'not ' + "two")""", mode='eval'
    ).body
    assert isinstance(call, ast.Call)
    assert list(errors.message_of('DataError', call)) == ['{path} has {rows} rows of {kinds}, not two']


def test_every_command_has_its_help() -> None:
    text = commands.help_of('vote')
    assert text.startswith('usage: seglight vote')
    assert '--weights' in text
    assert COMMANDS['vote'].help in text


def test_the_keys_of_the_config_are_not_in_the_help_again() -> None:
    text = 'usage: x\n\noptions:\n  -h, --help\n  --model.zoo ZOO\n\nA group:\n  --trainer.devices D\n                        text\n'
    assert commands.without_keys('fit', text) == (
        'usage: seglight fit [options]\n\noptions:\n  -h, --help\n  --model.zoo ZOO'
    )
