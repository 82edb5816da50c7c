"""Where a process gets its databases: from a server of its own, or that of xdist's controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.database.databases import open_template
from sql_snippets.database.keeping import Address, OthersKeeper, OwnKeeper
from sql_snippets.database.workplace import Workplace
from sql_snippets.project import recipe_of

if TYPE_CHECKING:
    from sql_snippets.settings import Settings


def make_workplace(settings: Settings, address: tuple[int, str] | None) -> Workplace:
    """Return where a process checks; ``address`` is that of the controller's broker."""
    if address is not None:
        return Workplace(OthersKeeper(Address(*address)), is_shared=True)
    keeper = OwnKeeper(
        lambda: open_template(
            settings.server,
            recipe_of(settings),
            cache_dir=settings.cache_dir,
            allow_remote=settings.allow_remote_server,
        )
    )
    return Workplace(keeper, is_shared=False)
