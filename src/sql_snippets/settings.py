"""What a run is to use, decided in one place: command line, then environment, then ini file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sql_snippets.database.recipes import Command, RecipeError
from sql_snippets.plan import DEFAULT_TIMEOUT, RunOptions
from sql_snippets.profiles import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_PREFIX = "SQL_SNIPPETS_"
DEFAULT_SERVER = "embedded"
# Which inline code must name objects of the database: qualified names, bare ones too, or none.
IDENTIFIERS = ("qualified", "all", "off")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"", "0", "false", "no", "off"})


class SettingsError(ValueError):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one run; ``timeout`` in seconds, paths absolute."""

    root: Path
    server: str
    allow_remote_server: bool
    report: Path | None
    update: bool
    platform: Path | None
    migrations: Path | Command | None
    seed: Path | None
    role: str
    timeout: float
    effects: Mapping[str, str]
    cache_dir: Path
    profile: str = next(iter(PROFILES))
    identifiers: str = IDENTIFIERS[0]
    mkdocs: tuple[Path, ...] = ()
    no_cache: bool = False
    no_blame: bool = False

    @property
    def run_options(self) -> RunOptions:
        """How blocks are run that say nothing else."""
        editor = PROFILES[self.profile].editor
        timeout = min(self.timeout, editor.seconds or self.timeout)
        return RunOptions(self.role, timeout, self.effects, editor)


@dataclass(frozen=True, slots=True)
class _Source:
    """The three places a setting can stand in, strongest first."""

    command_line: Mapping[str, object]
    environment: Mapping[str, str]
    ini: Mapping[str, str]

    def text(self, name: str) -> tuple[str, str]:
        """Return the value (empty when unset) and where it was found, for an error."""
        option = self.command_line.get(name)
        if option not in {None, False, ""}:
            return str(option), f"--sql-{name.replace('_', '-')}"
        variable = ENVIRONMENT_PREFIX + name.upper()
        if self.environment.get(variable):
            return self.environment[variable], variable
        return self.ini.get(name, ""), f"sql_{name} in the ini file"

    def flag(self, name: str) -> bool:
        value, where = self.text(name)
        if value.lower() not in _TRUE | _FALSE:
            raise SettingsError(f"{where} is {value!r}; write true or false")
        return value.lower() in _TRUE

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value, where = self.text(name)
        if value and value not in choices:
            raise SettingsError(
                f"{where} is {value!r}; write {', '.join(choices[:-1])} or {choices[-1]}"
            )
        return value or choices[0]

    def path(self, name: str, root: Path) -> Path | None:
        value, _ = self.text(name)
        return root / value if value else None

    def migrations(self, root: Path) -> Path | Command | None:
        value, where = self.text("migrations")
        if not Command.is_one(value):
            return self.path("migrations", root)
        try:
            return Command.read(value, root, where)
        except RecipeError as err:
            raise SettingsError(str(err)) from None

    def seconds(self, name: str, default: float) -> float:
        value, where = self.text(name)
        if not value:
            return default
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        # Two comparisons, as a nan is neither.
        if not 0 < seconds < float("inf"):
            raise SettingsError(f"{where} is {value!r}; write a number of seconds above 0")
        return seconds

    def pairs(self, name: str) -> dict[str, str]:
        value, where = self.text(name)
        found = {}
        for line in filter(None, (line.strip() for line in value.splitlines())):
            key, equals, text = (part.strip() for part in line.partition("="))
            if not (key.count(".") == 1 and equals and text):
                raise SettingsError(
                    f"{where} has the line {line!r}; write schema.relation = what its rows are"
                )
            found[key] = text
        return found


def _default_cache_dir(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sql-snippets"


def decide(
    root: Path,
    *,
    command_line: Mapping[str, object],
    environment: Mapping[str, str],
    ini: Mapping[str, str],
) -> Settings:
    """Return the settings; the keys of all three mappings are the names of the fields.

    An environment variable is the field's name in capitals after ``SQL_SNIPPETS_``.  Raise
    `SettingsError` for a value that cannot be used, naming where it stands.
    """
    source = _Source(command_line, environment, ini)
    profile = source.choice("profile", tuple(PROFILES))
    report, _ = source.text("report")
    return Settings(
        root=root,
        server=source.text("server")[0] or DEFAULT_SERVER,
        allow_remote_server=source.flag("allow_remote_server"),
        # Relative to where the command was typed, as any file named on a command line.
        report=Path(report).absolute() if report else None,
        # Only where it was typed: a variable that is still set must not rewrite pages.
        update=bool(command_line.get("update")),
        platform=source.path("platform", root),
        migrations=source.migrations(root),
        seed=source.path("seed", root),
        role=source.text("role")[0] or "postgres",
        timeout=source.seconds("timeout", DEFAULT_TIMEOUT),
        effects={**PROFILES[profile].effects, **source.pairs("effects")},
        cache_dir=source.path("cache_dir", root) or _default_cache_dir(environment),
        profile=profile,
        identifiers=source.choice("identifiers", IDENTIFIERS),
        mkdocs=tuple((root / path).resolve() for path in source.text("mkdocs")[0].split()),
        no_cache=source.flag("no_cache"),
        no_blame=source.flag("no_blame"),
    )
