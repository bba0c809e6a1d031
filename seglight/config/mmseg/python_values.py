"""Evaluate the values in Python source by walking its syntax tree, within limits; nothing is executed."""

from __future__ import annotations

import ast
import operator
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

from seglight.config.mmseg.python_limits import CONTAINERS, MAX_BITS, SCALARS, Limits, first_line

#: Functions that a config may call.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (abs, bool, dict, float, int, len, list, max, min, range, str, sum, tuple)
}

#: Functions that accept any list; the others accept only lists of numbers and strings.
_OF_ANY_LIST = ('bool', 'len', 'list', 'range', 'tuple')

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}

#: `{{ _base_.model.type }}`, which mmcv replaces with a value of the base, anywhere in the text.
_BASE_VARIABLE = re.compile(r'\{\{\s*_base_((?:\.[^\W_]\w*)+)\s*\}\}')

#: Variables that mmcv substitutes before Python parses the text.
_SUBSTITUTED = re.compile(r'\{\{\s*(?:_base_\.|file)')


class Evaluator(Limits):
    """Evaluates assignments of literals, `dict(...)`, arithmetic, comprehensions and similar expressions.

    Args:
        text: the source.
        source: its name in errors.
        variables: the values of `{{ fileDirname }}` and the other file variables.
    """

    def __init__(self, text: str, source: str, variables: Mapping[str, str]) -> None:
        super().__init__(source)
        self.text = text
        self.variables = {re.compile(rf'\{{\{{\s*{name}\s*\}}\}}'): value for name, value in variables.items()}
        self.names: MutableMapping[str, Any] = {}
        self.base: dict[str, Any] = {}

    def run(self, statements: list[ast.stmt], base: dict[str, Any]) -> dict[str, Any]:
        """Return the value of every name that the statements assign.

        Args:
            statements: the top-level statements of a module, without `_base_`.
            base: the values for `{{ _base_.x }}`.

        Raises:
            UsageError: names the line of a construct that is unsupported, wrong, or too large.
        """
        self.base = base
        self._block(statements)
        return {name: self.copied(ast.Name(name), value) for name, value in self.names.items()}

    # Statements

    def _block(self, statements: list[ast.stmt]) -> None:
        for node in statements:
            self.enter(node)
            if isinstance(node, ast.Assign):
                value = self._value(node.value)
                for target in node.targets:
                    self._assign(target, value)
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self._assign(node.target, self._value(node.value))
            elif isinstance(node, ast.AugAssign):
                self._assign(node.target, self._changed(node))
            elif isinstance(node, ast.If):
                self._block(node.body if self._value(node.test) else node.orelse)
            elif isinstance(node, ast.Expr):
                self._value(node.value)
            elif not isinstance(node, ast.Pass):
                self.refuse(node)
            self.depth -= 1

    def _assign(self, target: ast.expr, value: Any) -> None:
        if isinstance(target, ast.Name):
            self._check_name(target)
            self.names[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            for name, item in zip(target.elts, self._unpacked(target, value), strict=True):
                self._assign(name, item)
        elif isinstance(target, ast.Subscript):
            owner, key = self._value(target.value), self._value(target.slice)
            if not isinstance(owner, (dict, list)) or isinstance(key, slice):
                self.refuse(target)
            self.call(target, operator.setitem, owner, key, value)
        else:
            self.refuse(target)

    def _unpacked(self, target: ast.Tuple | ast.List, value: Any) -> list[Any]:
        items = list(self._items(target, value))
        if len(items) != len(target.elts) or any(isinstance(name, ast.Starred) for name in target.elts):
            self.fail(target, f'{len(items)} values for {len(target.elts)} names')
        return items

    def _changed(self, node: ast.AugAssign) -> Any:
        """Return the value of `a += b`; as in Python, a list changes in place, for all of its names."""
        target = node.target
        if isinstance(target, ast.Name):
            self._check_name(target)
        old = self._value(target)
        if isinstance(old, list) and isinstance(node.op, ast.Add):
            old.extend(list(self._items(node.value, self._value(node.value))))
            return old
        return self._operate(node, node.op, old, self._value(node.value))

    def _check_name(self, node: ast.Name) -> None:
        # `_base_` may only be assigned once and not be used, so that its value is the literal in the text
        if node.id.startswith('__') or node.id == '_base_':
            self.refuse(node, f'the name {node.id} here')
        if node.id in FUNCTIONS and not isinstance(node.ctx, ast.Load):
            self.refuse(node, f'a redefinition of {node.id}')

    # Expressions

    def _value(self, node: ast.expr) -> Any:
        """Return the value of an expression."""
        self.enter(node)
        evaluate = getattr(self, f'_{type(node).__name__}', None)
        value = evaluate(node) if evaluate else self.refuse(node)
        self.depth -= 1
        return value

    def _Constant(self, node: ast.Constant) -> Any:
        value = node.value
        if not isinstance(value, SCALARS):
            self.refuse(node)
        if isinstance(value, str):
            if _BASE_VARIABLE.search(value):
                self.refuse(node, "'{{' in a string")
            for pattern, replacement in self.variables.items():
                value = replacement.join(pattern.split(value))
        return self.sized(node, value)

    def _JoinedStr(self, node: ast.JoinedStr) -> str:
        if _SUBSTITUTED.search(ast.get_source_segment(self.text, node) or ''):
            self.refuse(node, "'{{' in a string")
        return str(self.sized(node, ''.join([str(self._value(part)) for part in node.values])))

    def _FormattedValue(self, node: ast.FormattedValue) -> str:
        value = self._value(node.value)
        spec = self._value(node.format_spec) if node.format_spec else ''
        if not isinstance(value, SCALARS) or re.search(r'\d{3}', spec):
            self.refuse(node)
        value = {-1: value, ord('s'): str(value), ord('r'): repr(value), ord('a'): ascii(value)}[node.conversion]
        return str(self.call(node, format, value, spec))

    def _Name(self, node: ast.Name) -> Any:
        self._check_name(node)
        if node.id not in self.names:
            if node.id in FUNCTIONS:
                self.refuse(node, 'a function as a value')
            self.fail(node, f"unknown name '{node.id}'")
        return self.names[node.id]

    def _List(self, node: ast.List) -> list[Any]:
        return list(self._elements(node.elts))

    def _Tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._elements(node.elts))

    def _Dict(self, node: ast.Dict) -> dict[Any, Any]:
        return self._dict([(key, value) for key, value in zip(node.keys, node.values, strict=True)])

    def _Set(self, node: ast.Set) -> Any:
        """Return the value of `{{ _base_.model }}`, syntactically a set in a set; other sets are rejected."""
        text = ast.get_source_segment(self.text, node) or ''
        found = _BASE_VARIABLE.fullmatch(text)
        if not found:
            inner = (each for each in ast.walk(node) if isinstance(each, (ast.Attribute, ast.Call, ast.Name)))
            self.refuse(next(inner, node))
        value: Any = self.base
        for name in found[1].split('.')[1:]:
            if not isinstance(value, dict) or name not in value:
                self.fail(node, f"{text}: the files in _base_ have no '{name}'")
            value = value[name]
        return self.copied(node, value)

    def _Call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name not in FUNCTIONS:
            self.refuse(node.func, f'a call of {first_line(node.func)}')
        arguments = self._elements(node.args)
        if name == 'dict':
            given = self._dict([(ast.Constant(key.arg) if key.arg else None, key.value) for key in node.keywords])
            return {**self._pairs(node, list(arguments)), **given}
        if node.keywords:
            self.refuse(node, f'{name}() with keywords')
        values = list(arguments)
        for value in values:
            lists = isinstance(value, CONTAINERS) and (name == 'str' or not all(isinstance(x, SCALARS) for x in value))
            if lists and name not in _OF_ANY_LIST:
                self.refuse(node, f'{name}() of lists')  # nested lists could take forever
            if name not in ('len', 'range'):
                self.charged(node, value)
        return self.sized(node, self.call(node, FUNCTIONS[name], *values))

    def _Subscript(self, node: ast.Subscript) -> Any:
        value, key = self._value(node.value), self._value(node.slice)
        if not isinstance(value, (*CONTAINERS, str, range)):
            self.fail(node, f'{type(value).__name__} has no items')
        return self.charged(node, self.call(node, operator.getitem, value, key))

    def _Slice(self, node: ast.Slice) -> slice:
        return slice(*(self._value(part) if part else None for part in (node.lower, node.upper, node.step)))

    def _UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self.call(node, _UNARY[type(node.op)], self._value(node.operand))

    def _BinOp(self, node: ast.BinOp) -> Any:
        left = self._value(node.left)
        return self._operate(node, node.op, left, self._value(node.right))

    def _BoolOp(self, node: ast.BoolOp) -> Any:
        value: Any = None
        for part in node.values:
            value = self._value(part)
            if bool(value) is isinstance(node.op, ast.Or):
                break
        return value

    def _Compare(self, node: ast.Compare) -> bool:
        left = self._value(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self._value(right_node)
            inside = isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, CONTAINERS)
            if not isinstance(left, SCALARS) or not (inside or isinstance(right, SCALARS)):
                self.refuse(node, 'a comparison of lists')  # nested lists could take forever
            if inside:
                self.spend(node, len(right))
            if not self.call(node, _COMPARE[type(op)], left, right):
                return False
            left = right
        return True

    def _IfExp(self, node: ast.IfExp) -> Any:
        return self._value(node.body if self._value(node.test) else node.orelse)

    def _ListComp(self, node: ast.ListComp) -> list[Any]:
        return [self._value(node.elt) for _ in self._loop(node.generators)]

    _GeneratorExp = _ListComp

    def _DictComp(self, node: ast.DictComp) -> dict[Any, Any]:
        return {self._key(node.key): self._value(node.value) for _ in self._loop(node.generators)}

    # Their parts

    def _loop(self, generators: list[ast.comprehension]) -> Iterator[None]:
        """Bind the names of a comprehension to each item in turn; afterwards, they are out of scope."""
        first, *rest = generators
        if first.is_async:
            self.refuse(first.iter, 'async')
        items = self._items(first.iter, self._value(first.iter))
        outer, self.names = self.names, ChainMap({}, self.names)
        for item in items:
            self._assign(first.target, item)
            if all(self._value(condition) for condition in first.ifs):
                if rest:
                    yield from self._loop(rest)
                else:
                    yield
        self.names = outer

    def _elements(self, nodes: list[ast.expr]) -> Iterator[Any]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self._items(node, self._value(node.value))
            else:
                yield self._value(node)

    def _dict(self, items: list[tuple[ast.expr | None, ast.expr]]) -> dict[Any, Any]:
        """Return a dict of keys and values; the items of a value without a key are merged into it."""
        result: dict[Any, Any] = {}
        for key, node in items:
            if key is not None:
                name = self._key(key)
                result[name] = self._value(node)
                continue
            value = self._value(node)
            if not isinstance(value, dict):
                self.fail(node, f'** needs a dict, got {type(value).__name__}')
            result.update(self.charged(node, value))
        return result

    def _key(self, node: ast.expr) -> Any:
        key = self._value(node)
        if not isinstance(key, SCALARS):
            self.fail(node, f'a key must be a string or a number, got {type(key).__name__}')
        return key

    def _pairs(self, node: ast.Call, arguments: list[Any]) -> dict[Any, Any]:
        """Return the value of `dict(a)` for a dict or a list of pairs."""
        if not arguments:
            return {}
        if len(arguments) > 1:
            self.fail(node, 'dict() takes at most one value')
        value = self.charged(node, arguments[0])
        return dict(value if isinstance(value, dict) else self.call(node, dict, value))

    def _items(self, node: ast.AST, value: Any) -> Iterator[Any]:
        if not isinstance(value, (*CONTAINERS, range, str)):
            self.fail(node, f'{type(value).__name__} is not a list')
        self.charged(node, value)
        yield from value

    def _operate(self, node: ast.AST, op: ast.operator, left: Any, right: Any) -> Any:
        """Return the result of an operator, after checking that it will not be too large."""
        apply = _BINARY.get(type(op))
        if apply is None:
            self.refuse(node)
        listed = any(isinstance(value, (list, tuple, str)) for value in (left, right))
        if isinstance(op, ast.Mult) and listed:
            count, items = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(count, int) and isinstance(items, (list, tuple, str)):
                self.spend(node, max(0, count) * len(items))
        elif isinstance(op, ast.Mod) and isinstance(left, str):
            values = right if isinstance(right, tuple) else (right,)
            if re.search(r'\d{3}|\*', left) or not all(isinstance(value, SCALARS) for value in values):
                self.refuse(node)
        elif isinstance(op, ast.Pow) and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > MAX_BITS:
                self.fail(node, 'the number is too large')
        elif listed and not isinstance(left, str):
            self.charged(node, left)
            self.charged(node, right)
        return self.sized(node, self.call(node, apply, left, right))
