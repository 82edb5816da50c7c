"""Imports go one way: from the edges through the checks down to the words all of them share."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import sql_snippets

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(sql_snippets.__file__).parent
# A part, and the parts it may import. Each stands below those that it knows.
MAY_IMPORT = {
    "model": set[str](),
    "codec": set[str](),
    "cache": set[str](),
    "profiles": set[str](),
    "sqltext": {"model"},
    "reading": {"model", "codec", "cache", "sqltext"},
    "plan": {"model", "sqltext", "profiles"},
    "evidence": {"model", "plan"},
    "servers": {"cache", "profiles"},
    "database": {"model", "codec", "cache", "sqltext", "profiles", "servers"},
    # The only part that talks to a server about a page, and the part that must not: neither knows
    # the other.
    "running": {"model", "sqltext", "profiles", "plan", "evidence", "servers", "database"},
    "judging": {"model", "sqltext", "plan", "evidence"},
    "checking": {"model", "plan", "running", "judging", "database"},
    "results": {"model", "codec", "cache", "sqltext", "database"},
    "settings": {"database", "plan", "profiles"},
    "mutations": {"database"},
    "blame": {"database", "servers"},
}
EDGES = {
    "cli": set[str](),
    "mkdocs_plugin": {"mkdocs"},
    "mkdocs_live": {"mkdocs"},
    "mkdocs_site": {"mkdocs"},
    "project": {"pytest", "_pytest"},
    "pytest_plugin": {"pytest", "_pytest"},
    "watching": {"pytest"},
    "mutation_run": {"pytest"},
}
FRAMEWORKS = {"pytest", "_pytest", "mkdocs", "material"}


def _modules_named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "an import names its whole path"
        assert node.module is not None
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imports() -> Iterator[tuple[str, str, str]]:
    """Yield the file, the part it belongs to, and each name it imports, in whatever block."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield from ((str(name), name.with_suffix("").parts[0], m) for m in _modules_named(node))


def test_every_part_has_its_place() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts == {"__init__", *MAY_IMPORT, *EDGES}


def test_parts_import_only_what_is_below_them() -> None:
    wrong = [
        f"{file} imports {module}"
        for file, part, module in _imports()
        if module.startswith("sql_snippets.") and part in MAY_IMPORT
        if module.split(".")[1] not in {part, *MAY_IMPORT[part]}
    ]
    assert wrong == []


def test_only_the_profiles_know_a_platform() -> None:
    names = r"supabase|supautils|dashboard|vault|pg_net|http_request_queue|pgsodium|realtime"
    roles = r"postgrest|pgrst|authenticator|authenticated|service_role|\banon\b"
    wrong = [
        f"{path.relative_to(PACKAGE)}: {match[0]}"
        for path in sorted(PACKAGE.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and path.name != "profiles.py"
        for match in re.finditer(
            f"{names}|{roles}", path.read_text(encoding="utf-8"), re.IGNORECASE
        )
    ]
    assert wrong == []


def test_only_the_edges_know_pytest_and_mkdocs() -> None:
    wrong = [
        f"{file} imports {module}"
        for file, part, module in _imports()
        if (framework := module.split(".")[0]) in FRAMEWORKS
        if framework not in EDGES.get(part, set())
    ]
    assert wrong == []


def test_a_name_stands_for_one_thing() -> None:
    homes: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            match node:
                case ast.ClassDef(name=name):
                    homes[name].append(path)
                case ast.FunctionDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                    # What runs a program is called so, and so is what writes its log.
                    if not name.startswith("_") and name not in {"main", "logger"}:
                        homes[name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_nothing_imports_in_a_circle() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()
    graph: dict[str, set[str]] = defaultdict(set)
    files = {
        ".".join(("sql_snippets", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in PACKAGE.rglob("*.py")
    }
    for file, _, module in _imports():
        importer = ".".join(("sql_snippets", *Path(file).with_suffix("").parts))
        found = {module, module.rpartition(".")[0]} & files
        graph[importer] |= found - {importer}
    TopologicalSorter(graph).prepare()


def test_each_folder_says_what_it_is_for_and_no_more() -> None:
    for path in PACKAGE.glob("*/__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        if path.parent.name not in EDGES:
            assert len(tree.body) == 1, path
            assert "\n" not in (ast.get_docstring(tree) or ""), path
