"""The small bugs that a maintainer could put into Python."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from scripts.tasks.mutant import Mutant

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARED: dict[type[ast.cmpop], tuple[str, tuple[str, ...]]] = {
    ast.Lt: ("<", ("<=", ">=")),
    ast.LtE: ("<=", ("<", ">")),
    ast.Gt: (">", (">=", "<=")),
    ast.GtE: (">=", (">", "<")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: (r"is\s+not", ("is",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: (r"not\s+in", ("in",)),
}
_RECKONED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.FloorDiv: ("//", "*"),
    ast.BitOr: (r"\|", "&"),
    ast.BitAnd: ("&", "|"),
}
_CALLED = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}
_METHODS = {
    "startswith": "endswith",
    "endswith": "startswith",
    "strip": "rstrip",
    "rstrip": "lstrip",
    "partition": "rpartition",
    "rpartition": "partition",
    "find": "rfind",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
    "match": "search",
    "fullmatch": "match",
    "search": "match",
    "issubset": "issuperset",
}
_DROPPED_METHODS = {"lower", "casefold", "strip", "resolve"}
_NEEDS_PARENTHESES = (ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr)
_WORD = re.compile(r"[a-z][a-z_-]*")
# What is only there for the reader, the type checker or the log.
_SILENT = {"TYPE_CHECKING", "logger"}

_Found = tuple[str, int, int, str]  # kind, start, end, what is put there


def mutants_of(path: str, source: str) -> list[Mutant]:
    """Return all mutants of a file of Python."""
    place = _Places(source)
    found = (each for node in _nodes(ast.parse(source)) for each in _of(node, place))
    return [Mutant(path, start, end, new, kind) for kind, start, end, new in found]


def lines_of_statement(source: str, line: int) -> range:
    """Return the lines of the innermost statement that a line belongs to, without its body."""
    best = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno
        end = max(last or node.lineno, node.lineno)
        if node.lineno <= line <= end and (len(best) == 1 or end - node.lineno < len(best)):
            best = range(node.lineno, end + 1)
    return best


class _Places:
    """Where a node stands in the text: the parser counts bytes within a line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._starts = [0]
        self._lines = source.splitlines(keepends=True)
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def _at(self, line: int, column: int) -> int:
        text = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(text)

    def of(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._at(node.lineno, node.col_offset), self._at(*end)

    def text(self, node: ast.expr) -> str:
        text = self.source[slice(*self.of(node))]
        return f"({text})" if isinstance(node, _NEEDS_PARENTHESES) else text

    def between(self, left: ast.expr, right: ast.expr, sign: str) -> tuple[int, int] | None:
        """Return where the sign between two operands stands; None where a comment is between."""
        start, end = self.of(left)[1], self.of(right)[0]
        between = self.source[start:end]
        match = re.search(sign if not sign[0].isalpha() else rf"\b{sign}\b", between)
        return (
            None
            if match is None or "#" in between
            else (start + match.start(), start + match.end())
        )


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that do something: no annotation, docstring, decorator or log message."""
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id in _SILENT:
        return
    if isinstance(tree, ast.Expr) and _root(tree.value) in _SILENT:
        return
    yield tree
    left_out = {"annotation", "returns", "decorator_list", "type_params"}
    for name, value in ast.iter_fields(tree):
        if name in left_out:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child)


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _of(node: ast.AST, place: _Places) -> Iterator[_Found]:
    if isinstance(node, ast.expr):
        yield from _of_expression(node, place)
    if isinstance(node, ast.stmt):
        yield from _of_statement(node, place)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield "condition turned", *place.of(node.test), f"not ({place.text(node.test)})"
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield "condition dropped", *place.of(test), "True"


def _of_expression(node: ast.expr, place: _Places) -> Iterator[_Found]:
    match node:
        case ast.Compare():
            yield from _of_comparison(node, place)
        case ast.BoolOp():
            yield from _of_condition(node, place)
        case ast.UnaryOp(op=ast.Not()):
            yield "not dropped", *place.of(node), place.text(node.operand)
        case ast.BinOp() if type(node.op) in _RECKONED:
            sign, new = _RECKONED[type(node.op)]
            if where := place.between(node.left, node.right, sign):
                yield "arithmetic", *where, new
        case ast.Constant():
            yield from _of_constant(node, place)
        case ast.Call():
            yield from _of_call(node, place)
        case _:
            pass


def _of_call(node: ast.Call, place: _Places) -> Iterator[_Found]:
    match node.func:
        case ast.Name(id=name) if name in _CALLED:
            yield "function", *place.of(node.func), _CALLED[name]
        case ast.Attribute(attr=name, value=value):
            start, end = place.of(node.func)[1] - len(name), place.of(node.func)[1]
            if name in _METHODS:
                yield "function", start, end, _METHODS[name]
            if name in _DROPPED_METHODS:
                yield "function", *place.of(node), place.text(value)
        case _:
            pass


def _of_comparison(node: ast.Compare, place: _Places) -> Iterator[_Found]:
    left = node.left
    for operator, right in zip(node.ops, node.comparators, strict=True):
        sign, others = _COMPARED[type(operator)]
        if where := place.between(left, right, sign):
            for new in others:
                yield "comparison", *where, new
        left = right


def _of_condition(node: ast.BoolOp, place: _Places) -> Iterator[_Found]:
    word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
    texts = [place.text(value) for value in node.values]
    start, end = place.of(node)
    for left_out in range(len(texts)):
        rest = [text for index, text in enumerate(texts) if index != left_out]
        yield "condition dropped", start, end, f" {word} ".join(rest)
    for left, right in zip(node.values, node.values[1:], strict=False):
        if where := place.between(left, right, word):
            yield "and/or", *where, other


def _of_constant(node: ast.Constant, place: _Places) -> Iterator[_Found]:
    start, end = place.of(node)
    if isinstance(node.value, bool):
        yield "constant", start, end, str(not node.value)
    elif isinstance(node.value, int | float):
        yield "constant", start, end, repr(node.value + 1)
    elif (
        isinstance(node.value, str)
        and _WORD.fullmatch(node.value)
        # Not within an f-string, where the parser tells no place of its own.
        and place.source[start:end] == f'"{node.value}"'
    ):
        yield "name", start, end, f'"{node.value}_"'


def _of_statement(node: ast.stmt, place: _Places) -> Iterator[_Found]:
    start, end = place.of(node)
    match node:
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield "result", *place.of(value), "None"
        case ast.Expr(value=ast.Call() | ast.Yield()) | ast.Raise() | ast.Delete():
            yield "statement dropped", start, end, "pass"
        case ast.AugAssign():
            yield "statement dropped", start, end, "pass"
        case ast.Continue():
            yield "loop", start, end, "break"
        case ast.Break():
            yield "loop", start, end, "continue"
        case _:
            pass


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
