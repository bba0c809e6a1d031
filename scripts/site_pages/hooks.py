"""Hooks of MkDocs: the navigation from the folders, and the generated pages.

A new page in a folder of `docs/` appears in the navigation without an entry anywhere: first the pages that `FIRST`
lists, in its order, then the others by name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / 'scripts')]

from site_pages import commands, config_keys, errors  # noqa: E402  (after the path is set)

#: The folders of `docs/`, in the order of the site, and the pages of each that come first.
FIRST = {
    'tutorials': ('first-run', 'own-images', 'competition', 'competition.ko', 'from-mmseg'),
    'how-to': ('install', 'configs', 'data', 'train', 'resume', 'predict', 'reports'),
    'reference': ('commands', 'config', 'errors', 'data-errors', 'run-folder', 'api'),
    'explanation': ('design', 'parity', 'exactness', 'security', 'benchmarks'),
}
TITLES = {'tutorials': 'Tutorials', 'how-to': 'How-to guides', 'reference': 'Reference', 'explanation': 'Explanation'}

#: Files at the top of the repository that are pages of the site.
ROOT_PAGES = {'README.md': 'index.md', 'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md'}

#: Pages made from the code.
GENERATED: dict[str, Callable[[], str]] = {
    'reference/commands.md': commands.page,
    'reference/config.md': config_keys.page,
    'reference/errors.md': errors.page,
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation from the folders."""
    docs = Path(config.docs_dir)
    config.nav = [
        {'Home': 'index.md'},
        *({TITLES[folder]: pages_of(docs, folder)} for folder in FIRST),
        {'Contributing': 'contributing.md'},
        {'Changelog': 'changelog.md'},
    ]
    return config


def pages_of(docs: Path, folder: str) -> list[str]:
    """Return the pages of a folder, generated ones included, in the order of the navigation."""
    found = {path.relative_to(docs).as_posix() for path in (docs / folder).rglob('*.md')}
    found |= {name for name in GENERATED if name.startswith(f'{folder}/')}
    first = [f'{folder}/{name}.md' for name in FIRST[folder]]
    return [name for name in first if name in found] + sorted(found - set(first))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`."""
    for name, target in ROOT_PAGES.items():
        files.append(File.generated(config, target, content=for_site((ROOT / name).read_text(encoding='utf-8'))))
    for target, make in GENERATED.items():
        files.append(File.generated(config, target, content=make()))
    return files


def for_site(text: str) -> str:
    """Return a Markdown file of the repository's top with its links changed to those of the site.

    A file that the site does not have keeps its name, without a link.
    """

    def change(match: re.Match[str]) -> str:
        label, target = match.groups()
        path, hash_mark, anchor = target.partition('#')
        if '://' in target or not path:
            return match[0]
        if path in ROOT_PAGES:
            return f'[{label}]({ROOT_PAGES[path]}{hash_mark}{anchor})'
        if path.startswith('docs/'):
            return f'[{label}]({path.removeprefix("docs/")}{hash_mark}{anchor})'
        return label

    return re.sub(r'\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)', change, text)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Drop the comments that only the tests of the pages read."""
    return re.sub(r'^<!-- not run: .*? -->\n', '', markdown, flags=re.MULTILINE | re.DOTALL)
