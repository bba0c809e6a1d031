"""The reference of the error messages: every text that the package raises as a user error."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import seglight
from seglight import errors

INTRODUCTION = """# Errors

An error that you can fix is one line on stderr: `seglight: ` and a sentence with file, cause and cure. The status is 2;
`--debug` adds the traceback. Any other error is also one line: it ends with status 1 and names the file with its
traceback; please report it with the output of `seglight info`. [Messages about bad data](data-errors.md) shows the
messages about images, masks and annotations with the fault that causes each.

This list is made from the source. Braces stand for what the message inserts. A message about a key begins with the
flag, or the file and line, where the key was written.
"""

#: What each class of errors is about.
TITLES = {
    'ConfigError': 'A value in the config',
    'UsageError': 'A command line or a config file as a whole',
    'DataError': 'Images, masks, annotations',
    'CheckpointError': 'Checkpoints',
    'OutputError': 'Files that cannot be written',
    'TrainingError': 'Training that cannot continue',
    'SetupError': 'Packages',
    'Interrupted': 'Interrupted runs (status 75)',
}


def page() -> str:
    """Return the page."""
    found = messages(Path(seglight.__file__).parent)
    sections = []
    for name, title in TITLES.items():
        texts = sorted(set(found.get(name, [])), key=str.casefold)
        sections.append(f'## {title}\n\n' + '\n'.join(f'- `` {text} ``' for text in texts) + '\n')
    return '\n'.join([INTRODUCTION, *sections])


def messages(package: Path) -> dict[str, list[str]]:
    """Return the messages of each class of user errors, from the source of a package."""
    found: dict[str, list[str]] = {}
    for path in sorted(package.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ''
            if isinstance(node, ast.Call) and name in TITLES:
                found.setdefault(name, []).extend(message_of(name, node))
    return found


def message_of(name: str, call: ast.Call) -> Iterator[str]:
    """Yield the message of an error that is built in place; one that a variable holds is left out."""
    texts = [text_of(argument) for argument in call.args]
    if not texts or texts[-1] is None:
        return
    if name == 'ConfigError' and len(texts) == 2:
        key = texts[0] or '{key}'
        yield str(errors.ConfigError(key, texts[1]))
    else:
        yield ' '.join(texts[-1].split())


def text_of(node: ast.expr) -> str | None:
    """Return a text in the source with `{expression}` for what it inserts; None if the node is not a text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return ''.join(
            str(part.value) if isinstance(part, ast.Constant) else f'{{{short(part)}}}' for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left), text_of(node.right)
        return None if left is None or right is None else left + right
    return None


def short(node: ast.AST) -> str:
    """Return a short name for an inserted expression, for example `classes` for `', '.join(self.classes)`."""
    if isinstance(node, ast.Name):
        return node.id.strip('_').replace('_', ' ')
    if isinstance(node, ast.Attribute):
        return node.attr.strip('_').replace('_', ' ')
    if isinstance(node, ast.Call):
        return short(node.args[0]) if node.args else short(node.func)
    if isinstance(node, (ast.FormattedValue, ast.Subscript, ast.Starred)):
        return short(node.value)
    if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
        return short(node.generators[0].iter)
    return '...'
