"""What may import what, read from the source: also what functions import, which would hide an arrow that points up."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import seglight

PACKAGE = Path(seglight.__file__).parent

#: The floors of the house from the top; modules may import those of floors below and of their own folder.
FLOORS = [
    {'__init__', '__main__'},
    {'cli'},
    {'tools'},
    {'competition'},
    {'callbacks', 'exporting', 'predictor'},
    {'checkpoints'},
    {'data', 'models'},
    {'config', 'report', 'runtimes'},
]

#: Arrows that point up, each with the reason.
UP = {
    ('models.segmentor', 'checkpoints.checkpoint'): "Lightning's `load_from_checkpoint` is a method of the module",
    ('report.page', 'data.value_range'): 'a page shows images, read as the data reads them',
    ('report.pictures', 'data.images'): 'a page shows images, read as the data reads them',
    ('report.pictures', 'data.value_range'): 'a page shows images, read as the data reads them',
}

#: Libraries that few modules know, and those modules and folders; each reads or patches what is theirs.
KNOWN_TO = {
    'jsonargparse': ('cli', 'config.parser'),
    'pytorch_lightning.cli': ('cli',),
    'mmseg': ('compat', 'models', 'checkpoints', 'exporting', 'config.mmseg', 'data.sources.mmseg_datasets'),
    'mmcls': ('compat', 'models', 'checkpoints', 'config.mmseg', 'data.sources.mmseg_datasets'),
    'mmcv': ('compat', 'models', 'checkpoints', 'exporting', 'config.mmseg', 'data.sources.mmseg_datasets'),
}


def name_of(path: Path) -> str:
    """Return the dotted name of a module below the package."""
    return '.'.join(path.relative_to(PACKAGE).with_suffix('').parts).removesuffix('.__init__')


MODULES = {name_of(path): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob('*.py'))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted names of all that a module imports, wherever in it, but for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == 'TYPE_CHECKING':
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f'{node.module}.{alias.name}' for alias in node.names)
        else:
            yield from imported(node)


def own(name: str) -> str | None:
    """Return the module of the package that an imported name means, None for another library's."""
    words = name.split('.')
    if words[0] != 'seglight':
        return None
    while words[1:] and '.'.join(words[1:]) not in MODULES:
        words.pop()
    return '.'.join(words[1:])


ARROWS = {
    (module, target)
    for module, tree in MODULES.items()
    for name in imported(tree)
    if (target := own(name)) and target != module
}


def area(module: str) -> str:
    return module.split('.')[0]


def floor(module: str) -> int:
    """Return the floor of a module, from the top; the ground floor is the last."""
    return next((index for index, areas in enumerate(FLOORS) if area(module) in areas), len(FLOORS))


def points_up(module: str, target: str) -> bool:
    """Tell whether an import leads to the same floor or one above; the modules of the ground floor know each other."""
    if floor(module) == len(FLOORS):
        return floor(target) < len(FLOORS)
    return area(module) != area(target) and floor(target) <= floor(module)


def test_arrows_point_down() -> None:
    up = {arrow for arrow in ARROWS if points_up(*arrow)}
    assert up == set(UP), sorted(up ^ set(UP))


def test_no_module_reaches_itself() -> None:
    targets: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, target in ARROWS - set(UP):
        targets[module].add(target)
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        assert module not in way, f'a circle: {" -> ".join([*way[way.index(module) :], module])}'
        if module not in done:
            for target in sorted(targets[module]):
                visit(target, [*way, module])
            done.add(module)

    for module in MODULES:
        visit(module, [])


@pytest.mark.parametrize('library', KNOWN_TO)
def test_few_modules_know(library: str) -> None:
    know = {
        module
        for module, tree in MODULES.items()
        if any(f'{name}.'.startswith(f'{library}.') for name in imported(tree))
        and not any(f'{module}.'.startswith(f'{place}.') for place in KNOWN_TO[library])
    }
    assert know == set()
