"""The Markdown pages and notebooks of the project, and the blocks of code in them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: Every page: at the top of the repository and in `docs/`, new ones included.
PAGES = [
    *sorted(ROOT.glob('*.md')),
    *sorted((ROOT / 'docs').rglob('*.md')),
    *sorted((ROOT / 'docs').rglob('*.ipynb')),
]

#: Languages of blocks with commands.
SHELLS = ('sh', 'bash', 'shell', 'console')

SEGLIGHT = ('scripts/seglight ', 'python -m seglight ', 'seglight ')

#: A block with the comment before it that keeps it from being run: `<!-- not run: REASON -->`.
_BLOCK = re.compile(
    r'^(?P<indent> *)(?:<!-- not run: (?P<reason>.*?) -->\n+ *)?```(?P<language>\w*)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$',
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        page: path of its page below the repository.
        line: number of its first line, or of the cell in a notebook.
        language: the word after the backticks.
        title: the name of the file that it shows, from `title="..."`; empty if none.
        text: its lines.
        reason: why it is not run, empty if it is.
    """

    page: str
    line: int
    language: str
    title: str
    text: str
    reason: str = ''

    def __str__(self) -> str:
        """Return `page:line`."""
        return f'{self.page}:{self.line}'

    @property
    def commands(self) -> list[str]:
        """The commands of a block for a shell, without comments, prompts and blank lines."""
        lines = self.text.replace('\\\n', ' ').splitlines()
        stripped = (re.sub(r'(^|\s)#.*', '', line).removeprefix('$ ').strip() for line in lines)
        return [line for line in stripped if line]


def blocks_of(path: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.ipynb':
        return [
            cell_block(path.relative_to(ROOT).as_posix(), index, ''.join(cell['source']))
            for index, cell in enumerate(json.loads(text)['cells'], 1)
            if cell['cell_type'] == 'code'
        ]
    return [
        Block(
            path.relative_to(ROOT).as_posix(),
            text.count('\n', 0, found.start('text')) + 1,
            found['language'],
            next(iter(re.findall(r'title="([^"]+)"', found['info'])), ''),
            re.sub(rf'^{found["indent"]}', '', found['text'], flags=re.MULTILINE),
            ' '.join((found['reason'] or '').split()),
        )
        for found in _BLOCK.finditer(text)
    ]


def cell_block(page: str, index: int, text: str) -> Block:
    """Return the block of a notebook's cell: Python, commands (`!`, `%`), or a file (`%%writefile NAME`)."""
    first, _, rest = text.partition('\n')
    reason = first.removeprefix('# not run: ') if first.startswith('# not run: ') else ''
    if reason:
        text = rest
    if first.startswith('%%writefile '):
        return Block(page, index, 'yaml', first.removeprefix('%%writefile '), rest)
    if all(line[:1] in '!%' for line in text.splitlines()):
        return Block(page, index, 'sh', '', re.sub('^[!%]', '', text, flags=re.MULTILINE), reason)
    return Block(page, index, 'python', '', text, reason)


def words_of(command: str) -> list[str]:
    """Return the words after `seglight`, with patterns expanded to the files that they match, as a shell does."""
    words = shlex.split(command.removeprefix(next(start for start in SEGLIGHT if command.startswith(start))))
    return [name for word in words for name in (sorted(map(str, Path().glob(word))) if '*' in word else []) or [word]]


def options_of(words: list[str]) -> Iterator[str]:
    """Yield the long options among the words of a command, without values, with underscores."""
    for word in words:
        if word.startswith('--'):
            yield '--' + word[2:].partition('=')[0].replace('-', '_')
