"""A run from its begin to its end: what is shared is set up here, and ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sql_snippets.database.recipes import RecipeError
from sql_snippets.project import recipe_of
from sql_snippets.pytest_plugin.gathering import Results
from sql_snippets.pytest_plugin.options import settings_from
from sql_snippets.pytest_plugin.run import ATTRIBUTE, RUN, Run, run_of
from sql_snippets.pytest_plugin.terminal import OneReason, Summary
from sql_snippets.results.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Generator


def pytest_configure(config: pytest.Config) -> None:
    """Decide the settings once."""
    settings = settings_from(config)
    verdicts = Verdicts(settings.cache_dir, settings.root)
    address = getattr(config, "workerinput", {}).get(ATTRIBUTE)
    run = Run(settings, verdicts, address)
    config.stash[RUN] = run
    is_worker = hasattr(config, "workerinput")
    if not is_worker:
        config.pluginmanager.register(Results(config, run), "sql_snippets_results")
        config.pluginmanager.register(Summary(run), "sql_snippets_summary")
        config.pluginmanager.register(OneReason(), "sql_snippets_one_reason")
    if config.getoption("sql_mutate"):
        from sql_snippets.mutation_run import register  # noqa: PLC0415 - only a mutation run needs it

        register(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what was started."""
    run = config.stash.get(RUN, None)
    if run is not None:
        run.end()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell an xdist worker where the run's server is; it starts when the first worker asks."""
    run = run_of(node.config)
    # A worker on another machine starts a server of its own.
    if not node.gateway.spec.popen:
        return
    if run.broker is None:
        # Not above: a run in which nothing has to be run does without psycopg.
        from sql_snippets.database.keeping import Broker  # noqa: PLC0415 - see above

        run.broker = Broker(run.workplace.keeper)
    node.workerinput[ATTRIBUTE] = (run.broker.address.port, run.broker.address.key)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Give the turn back whatever happened; an item took it when it was set up."""
    try:
        return (yield)
    finally:
        run_of(item.config).end_turn()


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say what pages will be checked against, where a project has set that up."""
    settings = run_of(config).settings
    if settings.migrations is None and settings.platform is None:
        return None
    try:
        recipe = recipe_of(settings)
    except RecipeError as err:
        made = f"migration head {err}"
    else:
        made = f"migration head {recipe.migration_head or 'none'}"
        if recipe.command is not None:
            made = f"migrations by `{recipe.command.text}`"
    server = settings.server if "://" not in settings.server else "URL"
    return f"sql-snippets: server {server}, role {settings.role}, {made}"
