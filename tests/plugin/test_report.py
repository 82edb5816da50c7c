from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sql_snippets.model import Fix
from sql_snippets.profiles import POSTGRES
from sql_snippets.results.report import (
    Entry,
    RanOn,
    ReportError,
    ServerFacts,
    Verdict,
    hash_sql,
    make_report,
    read_report,
    write_report,
)
from sql_snippets.results.rewrite import Edit, digest_of, write_back
from sql_snippets.settings import Settings, SettingsError, decide

FACTS = ServerFacts("embedded", "17.10", ("pg_cron 1.6",), ("pg_net",))


def _entry(line: int, name: str = "n") -> Entry:
    here = f"x.md::s::{name}"
    return Entry(
        id=here,
        nodeid=here,
        page="x.md",
        file="x.md",
        section="s",
        name=name,
        line=line,
        kind="block",
        verdict=Verdict.PASSED,
    )


def test_a_report_is_in_the_order_of_the_pages(tmp_path: Path) -> None:
    entries = [_entry(30, "c"), _entry(4, "ä"), _entry(4, "b")]
    report = make_report(entries, RanOn(FACTS, "7_x", "abc"))
    write_report(report, tmp_path / "new" / "report.json")
    content = json.loads((tmp_path / "new" / "report.json").read_text(encoding="utf-8"))
    facts = ["format", "created", "server", "migration_head", "recipe", "database_error"]
    assert list(content) == [*facts, "items", "complete", "check_error"]
    assert content["complete"] is True
    assert content["server"] == {
        "kind": "embedded",
        "version": "17.10",
        "real_parts": ["pg_cron 1.6"],
        "stand_ins": ["pg_net"],
    }
    assert [item["name"] for item in content["items"]] == ["b", "ä", "c"]
    assert set(content["items"][0]) == {
        *(
            "id",
            "nodeid",
            "page",
            "file",
            "section",
            "name",
            "line",
            "kind",
            "verdict",
            "mark",
            "role",
        ),
        *("sql_sha256", "seconds", "isolation", "rows", "danger", "reason"),
        *("placeholders", "cached", "checked", "drawn", "migration", "claims_sha256"),
    }
    age = datetime.now(UTC) - datetime.fromisoformat(content["created"])
    assert timedelta(seconds=-1) < age < timedelta(minutes=5)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.json"]
    assert read_report(tmp_path / "new" / "report.json") == report


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    report = make_report([], RanOn(FACTS))
    with pytest.raises(ReportError, match=r"file/report\.json: the report cannot be written"):
        write_report(report, tmp_path / "file" / "report.json")


def test_the_hash_is_that_of_the_text() -> None:
    # sha256sum of the eight bytes "select 1"
    assert hash_sql("select 1") == (
        "822ae07d4783158bc1912bb623e5107cc9002d519e1143a9c200ed6ee18b6d0f"
    )


# ---- settings


def _decide(
    command_line: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    ini: dict[str, str] | None = None,
) -> Settings:
    return decide(
        Path("/project"),
        command_line=command_line or {},
        environment=environment or {},
        ini=ini or {},
    )


def test_defaults() -> None:
    settings = _decide(environment={"XDG_CACHE_HOME": "/cache"})
    assert settings == Settings(
        root=Path("/project"),
        server="embedded",
        allow_remote_server=False,
        report=None,
        update=False,
        platform=None,
        migrations=None,
        seed=None,
        role="postgres",
        timeout=30.0,
        effects=POSTGRES.effects,
        cache_dir=Path("/cache/sql-snippets"),
    )


def test_the_command_line_wins_then_the_environment() -> None:
    ini = {"server": "ini"}
    environment = {"SQL_SNIPPETS_SERVER": "environment"}
    assert _decide({"server": None}, {}, ini).server == "ini"
    assert _decide({"server": None}, environment, ini).server == "environment"
    assert _decide({"server": "line"}, environment, ini).server == "line"
    assert not _decide({"update": False}).update
    # Pages are rewritten where that was typed, never by what an environment or a file says.
    assert not _decide({}, {"SQL_SNIPPETS_UPDATE": "yes"}, {"update": "yes"}).update
    assert _decide({"update": True}).update


def test_effects_are_lines_beside_the_known_ones() -> None:
    ini = {"effects": "\n  shop.outbox = mail queued\n\n  cron.job=job changed\n"}
    assert _decide(ini=ini).effects == {
        **POSTGRES.effects,
        "shop.outbox": "mail queued",
        "cron.job": "job changed",
    }


@pytest.mark.parametrize("line", ["outbox = mail", "shop.outbox", "shop.outbox =", "a.b.c = mail"])
def test_an_effect_that_names_no_relation(line: str) -> None:
    with pytest.raises(SettingsError, match=r"sql_effects in the ini file has the line .*; write"):
        _decide(ini={"effects": line})


def test_paths() -> None:
    settings = _decide({"report": "r.json"}, ini={"migrations": "db/migrations", "cache_dir": "c"})
    assert settings.migrations == Path("/project/db/migrations")
    assert settings.cache_dir == Path("/project/c")
    assert settings.report == Path.cwd() / "r.json"


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_none(value: str) -> None:
    with pytest.raises(SettingsError, match=f"SQL_SNIPPETS_TIMEOUT is '{value}'; write a number"):
        _decide(environment={"SQL_SNIPPETS_TIMEOUT": value})


def test_a_flag_that_is_none() -> None:
    with pytest.raises(SettingsError, match="SQL_SNIPPETS_NO_CACHE is 'perhaps'; write true or"):
        _decide(environment={"SQL_SNIPPETS_NO_CACHE": "perhaps"})


# ---- writing back

PAGE = """\
before  \r
```text\r
old\r
```\r
\N{LATIN SMALL LETTER U WITH DIAERESIS}\t\r
> - item\r
>\r
>     ~~~text\r
>     two\r
>\r
>     lines\r
>     ~~~\r
no end"""


def _edit(path: Path, first: int, last: int, old: str, new: str) -> Edit:
    return Edit(path, Fix(path.name, first, last, old, new), digest_of(path))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "x.md"
    path.write_bytes(PAGE.encode())
    path.chmod(0o640)
    return path


def test_only_the_output_changes(page: Path) -> None:
    edits = [
        _edit(page, 3, 3, "old", "new\n\nand longer"),
        _edit(page, 9, 11, "two\n\nlines", "one"),
    ]
    written, refused = write_back([*edits, edits[0]])
    assert (written, refused) == (edits, [])
    assert (
        page.read_bytes()
        == PAGE.replace("old", "new\r\n\r\nand longer")
        .replace(">     two\r\n>\r\n>     lines", ">     one")
        .encode()
    )
    assert page.stat().st_mode & 0o777 == 0o640
    assert list(page.parent.iterdir()) == [page]


def test_an_output_that_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    path.write_text("```text\n```\nafter\n", encoding="utf-8")
    assert write_back([_edit(path, 2, 1, "", "new")])[1] == []
    assert path.read_text(encoding="utf-8") == "```text\nnew\n```\nafter\n"


@pytest.mark.parametrize(
    ("first", "last", "old", "message"),
    [
        (3, 3, "other", "x.md:3: the lines are not the output that was read; nothing written"),
        (6, 6, "old", "x.md:6: no fence stands above; nothing written"),
        (99, 99, "old", "x.md:99: no fence stands above; nothing written"),
    ],
)
def test_what_does_not_fit_is_refused(
    page: Path, first: int, last: int, old: str, message: str
) -> None:
    good = _edit(page, 9, 11, "two\n\nlines", "one")
    written, refused = write_back([good, _edit(page, first, last, old, "new")])
    assert written == []
    assert len(refused) == 1
    assert message in refused[0]
    assert page.read_bytes() == PAGE.encode()


def test_a_file_that_changed_is_refused_and_others_are_written(page: Path) -> None:
    other = page.with_name("y.md")
    other.write_text("```text\na\n```\n", encoding="utf-8")
    edits = [_edit(page, 3, 3, "old", "new"), _edit(other, 2, 2, "a", "b")]
    page.write_bytes(PAGE.encode() + b"more")
    written, refused = write_back(edits)
    assert written == [edits[1]]
    assert refused == [
        f"{page}: the file changed while the blocks were run; nothing written, run again"
    ]
    assert other.read_text(encoding="utf-8") == "```text\nb\n```\n"


def test_a_file_that_is_gone_is_refused(page: Path) -> None:
    edit = _edit(page, 3, 3, "old", "new")
    page.unlink()
    written, refused = write_back([edit])
    assert written == []
    assert "nothing written" in refused[0]


def test_different_edits_of_one_output_are_refused(page: Path) -> None:
    edits = [_edit(page, 3, 3, "old", "new"), _edit(page, 3, 3, "old", "newer")]
    written, refused = write_back(edits)
    assert written == []
    assert "overlap" in refused[0]
    assert page.read_bytes() == PAGE.encode()
