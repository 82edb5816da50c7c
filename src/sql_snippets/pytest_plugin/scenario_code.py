"""The Python behind a scenario: its text, and a digest that changes when any of it does."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

from sql_snippets.cache import hash_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_OURS = Path(__file__).resolve().parents[1]


def text_of(functions: Iterable[object], root: Path) -> str | None:
    """Return the source of functions and of the project's functions and values that they name.

    None when a source cannot be read.
    """
    waiting = list(functions)
    seen: dict[int, str] = {}
    for function in waiting:
        plain = inspect.unwrap(function) if callable(function) else function
        if not isinstance(plain, FunctionType | type) or id(plain) in seen:
            continue
        if not _is_local(_file_of(plain), root):
            continue
        try:
            text = inspect.getsource(plain)
        except (OSError, TypeError):
            return None
        seen[id(plain)] = text
        names = {node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)}
        module = sys.modules.get(plain.__module__)
        for value in (getattr(module, name, None) for name in sorted(names)):
            if isinstance(value, str):
                seen[id(value)] = value
            waiting.append(value)
    return "\n".join(seen.values())


def files_of(functions: Iterable[object], root: Path) -> tuple[Path, ...]:
    """Return the project's files that define functions."""
    found = {_file_of(function) for function in functions}
    return tuple(sorted(path for path in found if path and _is_local(path, root)))


def hash_with_imports(files: Iterable[Path], root: Path) -> str:
    """Return a hash of files and of the project's files that they import, to any depth."""
    folders = {root, *(Path(entry or ".").resolve() for entry in sys.path)}
    folders = {folder for folder in folders if folder.is_relative_to(root)}
    waiting = list(files)
    parts: list[bytes] = []
    seen: set[Path] = set()
    for path in waiting:
        if path in seen:
            continue
        seen.add(path)
        content = path.read_bytes()
        parts += [str(path.relative_to(root)).encode(), content]
        waiting += sorted(set(_imported(path, content, root, folders)) - seen)
    return hash_bytes(*parts)


def is_local(function: object, root: Path) -> bool:
    """Whether a function is the project's own."""
    return _is_local(_file_of(function), root)


def _file_of(function: object) -> Path | None:
    plain = inspect.unwrap(function) if callable(function) else function
    module = sys.modules.get(getattr(plain, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def _is_local(path: Path | None, root: Path) -> bool:
    if path is None or not path.is_relative_to(root) or path.suffix != ".py":
        return False
    # This program itself, where it is installed for its own development.
    if path.is_relative_to(_OURS):
        return False
    return not any(
        part in {"site-packages", "dist-packages"} or part.startswith(".")
        for part in path.relative_to(root).parts
    )


def _parse(text: str) -> ast.AST:
    try:
        return ast.parse(inspect.cleandoc("\n" + text) if text[:1].isspace() else text)
    except SyntaxError:
        return ast.Module([], [])


def _imported(path: Path, content: bytes, root: Path, folders: set[Path]) -> Iterator[Path]:
    """Yield the project's files that a file imports, wherever in it the import stands."""
    package = ".".join(path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(content)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                base = importlib.util.resolve_name(
                    "." * node.level + (node.module or ""), package or None
                )
            except ImportError:
                continue
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            for folder in folders:
                place = folder.joinpath(*name.split("."))
                for found in (place.with_suffix(".py"), place / "__init__.py"):
                    if _is_local(found, root) and found.is_file():
                        yield found
