"""Items that are not functions and still have fixtures.

pytest has no public name for that: this does what its own items for doctests do, and is the one
place that knows how.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from _pytest.fixtures import TopRequest

from sql_snippets.pytest_plugin.scenario_code import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from _pytest.fixtures import FixtureDef, FixtureManager


class ItemWithFixtures(pytest.Item):
    """An item that asks for fixtures by name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.obj = None
        info = _manager(self).getfixtureinfo(node=self, func=None, cls=None)
        self._fixtureinfo = info
        self.fixturenames = info.names_closure
        self._initrequest()

    def _initrequest(self) -> None:
        """Forget the fixtures; called so by what runs an item again, as pytest's own has it."""
        self.funcargs: dict[str, object] = {}
        self._request = TopRequest(cast("pytest.Function", self), _ispytest=True)

    def fill_fixtures(self) -> None:
        """Set up the fixtures that are used without being asked for."""
        for name in self.fixturenames:
            if name not in self.funcargs:
                self.funcargs[name] = self.fixture(name)

    def fixture(self, name: str) -> Any:
        """Return the value of a fixture, set up on demand."""
        return self._request.getfixturevalue(name)

    def has_fixture(self, name: str) -> bool:
        """Say whether a fixture of this name can be seen from the page."""
        return bool(definitions_of(self, name))

    def fixture_names(self) -> set[str]:
        """Return the fixtures that can be seen from the page, but for private ones."""
        manager: Any = _manager(self)
        visible = getattr(manager, "_get_all_fixture_defs_for_node", None)
        if visible is not None:
            found = {fixture.argname for fixture in visible(self)}
        else:
            found = set(manager._arg2fixturedefs)  # noqa: SLF001 - so before pytest 9.1
        return {name for name in found if not name.startswith("_")}


def _manager(item: pytest.Item) -> FixtureManager:
    return item.session._fixturemanager  # noqa: SLF001 - it has no other name


def definitions_of(item: pytest.Item, name: str) -> Sequence[FixtureDef[Any]]:
    """Return the fixtures of a name that can be seen from an item; the last one is used."""
    return _manager(item).getfixturedefs(name, item) or ()


def fixture_functions(item: pytest.Item, names: Iterable[str]) -> list[object]:
    """Return the functions of fixtures and of those that they ask for."""
    waiting = list(dict.fromkeys(names))
    found: dict[str, list[object]] = {}
    for name in waiting:
        if name in found:
            continue
        definitions = definitions_of(item, name)
        found[name] = [definition.func for definition in definitions]
        waiting += [other for definition in definitions for other in definition.argnames]
    return [function for functions in found.values() for function in functions]


def python_of(item: pytest.Item, functions: Sequence[object] = (), *names: str) -> str | None:
    """Return the project's Python that runs with an item; None when it cannot be read."""
    used = fixture_functions(item, [*getattr(item, "fixturenames", ()), *names])
    return text_of([*functions, *used], item.config.rootpath)
