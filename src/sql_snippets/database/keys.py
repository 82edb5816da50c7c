"""Under what the data directory of a recipe, and the verdicts reached in it, are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.cache import hash_of
from sql_snippets.servers.binaries import Binaries, find_binaries

if TYPE_CHECKING:
    from sql_snippets.database.recipes import Recipe

# Part of the cache key: raise it when `databases` or the cluster's settings change what is stored.
_PREPARED_FORMAT = "3"


def prepared_key(binaries: Binaries, recipe: Recipe) -> str:
    """Return a hash of what a data directory with a recipe in it is made from."""
    extensions = [(name, binaries.extension_version(name)) for name in sorted(recipe.stand_ins())]
    parts = (_PREPARED_FORMAT, str(binaries.bin_dir), binaries.version, recipe.digest(), extensions)
    return hash_of(parts)[:32]


def server_key(choice: str, recipe: Recipe) -> str | None:
    """Return a hash of the programs and the recipe that make the database, without starting it.

    None for a URL, as what else is on that server is not known, and for a recipe of which not all
    is known.  Raises ServerUnavailable.
    """
    if choice not in {"embedded", "system"} or not recipe.is_known:
        return None
    binaries = find_binaries(choice)
    programs = [binaries.tool("postgres"), *binaries.library_dir.glob("*")]
    programs += (binaries.share_dir / "extension").glob("*.control")
    states = [(path.name, path.stat()) for path in sorted(programs)]
    parts = [
        prepared_key(binaries, recipe),
        *((name, state.st_size, state.st_mtime_ns) for name, state in states),
    ]
    return hash_of(parts)
