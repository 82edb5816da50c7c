"""Which names in the text of a page are right, judged without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql_snippets.evidence import NamesFound
from sql_snippets.judging.identifiers import Mentions, check_identifiers, names_on
from sql_snippets.mkdocs_site import load_site
from sql_snippets.reading.pages import read_page

if TYPE_CHECKING:
    from pathlib import Path

KNOWN = NamesFound(
    schemas={"app", "cron", "pg_catalog", "public"},
    relations={("app", "jobs"), ("public", "orders"), ("pg_catalog", "pg_settings")},
    functions={("app", "run"), ("pg_catalog", "timezone")},
    members={("app", "jobs", "id"), ("public", "orders", "id")},
    columns={("jobs", "id"), ("orders", "id")},
    settings={"cron.timezone", "app.settings.tenant"},
)
MAKES = """\
<!-- sql: name=make -->

```sql
create table if not exists app.visits (id int, seen_at timestamptz);
create or replace function app.count_visits() returns bigint
  language sql as 'select count(*) from app.visits';
create schema shop;
create materialized view shop.daily as select 1 as visitors;
set app.jwt_secret = 'x';
select set_config('app.request.user', '1', false);
```

<!-- sql: name=fails error=42P07 -->

```sql
create table app.never (id int);
```

<!-- sql: name=left-out skip="another day" -->

```sql
create table app.skipped (id int);
```

"""


def _wrong(folder: Path, codes: str) -> list[str]:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "mkdocs.yml").write_text(
        "site_name: x\nmarkdown_extensions: [pymdownx.superfences]\n", encoding="utf-8"
    )
    path = folder / "docs" / "index.md"
    text = " ".join(f"`{code}`" for code in codes.split())
    path.write_text(f"# Page\n\n{MAKES}{text}\n", encoding="utf-8")
    page = read_page(path, load_site(folder))
    mentions = Mentions(page, tuple(names_on(page, bare=False)))
    return [failure.message for failure in check_identifiers(mentions, KNOWN)]


def test_what_the_page_makes_and_what_the_server_sets_is_right(tmp_path: Path) -> None:
    right = (
        "app.visits visits.seen_at app.visits.seen_at app.count_visits() shop.daily "
        "shop.daily.visitors app.jwt_secret app.request.user cron.timezone app.settings.tenant "
        "app.jobs jobs.id orders.id pg_catalog.timezone()"
    )
    assert _wrong(tmp_path, right) == []


def test_what_nobody_makes_is_wrong(tmp_path: Path) -> None:
    wrong = "app.visit app.never app.skipped app.count() cron.timezon"
    found = _wrong(tmp_path, wrong)
    assert [message.split('"')[1] for message in found] == [
        name.removesuffix("()") for name in wrong.split()
    ]
