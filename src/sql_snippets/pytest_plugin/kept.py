"""Under which key the verdict of an item is kept from run to run."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from sql_snippets.database.keys import server_key
from sql_snippets.database.recipes import RecipeError
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.run import Run, run_of
from sql_snippets.pytest_plugin.scenario_code import files_of, hash_with_imports, is_local
from sql_snippets.pytest_plugin.with_fixtures import ItemWithFixtures, fixture_functions
from sql_snippets.results.verdicts import key_of
from sql_snippets.servers.server import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

# The files that paths name count by their contents.
_NOT_OF_THE_VERDICT = {
    *("root", "platform", "migrations", "seed", "cache_dir", "report"),
    *("update", "no_cache", "no_blame", "allow_remote_server"),
}


def key_for(
    item: ItemWithFixtures, item_id: str, subject: object, scenario: str | None
) -> str | None:
    """Return the hash of what the verdict rests on; None when none is kept."""
    run = run_of(item.config)
    if run.settings.no_cache or not _server_key(run):
        return None
    return key_of(
        subject,
        id=item_id,
        server=_server_key(run),
        python=_python_digest(run, item, [scenario] if scenario else []),
        settings={
            setting.name: getattr(run.settings, setting.name)
            for setting in fields(run.settings)
            if setting.name not in _NOT_OF_THE_VERDICT
        },
    )


def _server_key(run: Run) -> str:
    if run.server_key is None:
        try:
            run.server_key = server_key(run.settings.server, recipe_of(run.settings)) or ""
        except (ServerUnavailable, RecipeError, OSError):
            # Said again, and shown, where the server is started.
            run.server_key = ""
    return run.server_key


def _python_digest(run: Run, item: ItemWithFixtures, names: Sequence[str]) -> str | None:
    root = item.config.rootpath
    used = fixture_functions(item, [*item.fixturenames, *names])
    if not any(is_local(function, root) for function in used):
        return None
    # Also those that a fixture asks for by a name that no signature shows.
    files = files_of(fixture_functions(item, item.fixture_names()), root)
    if files not in run.python_digests:
        run.python_digests[files] = hash_with_imports(files, root)
    return run.python_digests[files]
