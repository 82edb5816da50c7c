"""Which blocks notice that the database is broken, and which have no teeth."""

from __future__ import annotations

import re

import pytest

from tests.plugin.small_project import write_files

SCHEMA = """\
create table orders (id int primary key, status text not null, note text);
insert into orders values (1, 'open', 'x'), (2, 'closed', 'y');
create view open_orders as select id from orders where status = 'open';
create function open_count() returns bigint language plpgsql as
  $$ begin return (select count(*) from open_orders); end $$;
create table unused (id int, status text);
"""
CONFTEST = """\
import pytest
from sql_snippets import Scenario

@pytest.fixture
def stuck(sql_database):
    with sql_database.connect() as session:
        session.execute("update orders set status = 'stuck' where id = 2")
    def is_present():
        with sql_database.connect() as session:
            return bool(session.execute("select from orders where status = 'stuck'").fetchall())
    return Scenario(is_present)

@pytest.fixture
def held(sql_database):
    with sql_database.connect(autocommit=False) as session:
        session.execute("lock table orders in access share mode")
        yield Scenario(lambda: True)

@pytest.fixture
def broken(sql_database):
    raise ValueError("no such thing")

@pytest.fixture
def with_more(sql_database, tmp_path):
    return Scenario(lambda: True)
"""
PAGE = """\
# Page

<!-- sql: name=column -->

```sql
select status from orders;
```

<!-- sql: name=reached rows=1 -->

```sql
select open_count();
```

<!-- sql: name=toothless -->

```sql
do $$ begin
  begin perform status from orders; exception when others then null; end;
end $$;
```

<!-- sql: name=change -->

```sql
update orders set note = 'z' where id = 1;
```

<!-- sql: name=later after=change -->

```sql
select note from orders;
```

<!-- sql: name=incident scenario=stuck -->

```sql
select id from orders where status = 'stuck';
```

<!-- sql: name=held scenario=held rows=1 -->

```sql
select mode from pg_locks where relation = 'public.orders'::regclass;
```

<!-- sql: name=more scenario=with_more -->

```sql
select id from orders;
```

<!-- sql: name=raises scenario=broken -->

```sql
select id from orders;
```

<!-- sql: name=slow -->

```sql
set statement_timeout = '100ms';
update orders set note = pg_sleep(9)::text where id = 1;
```

<!-- sql: name=after-slow after=slow -->

```sql
select note from orders;
```

<!-- sql: name=nothing -->

```sql
select 1;
```

<!-- sql: name=system -->

```sql
select count(*) from pg_class;
```

<!-- sql: name=skipped skip="not here" -->

```sql
select id from orders;
```

<!-- sql: name=red rows=7 -->

```sql
select id from orders;
```

<!-- sql: table=public.orders -->

| Column | Type |
| --- | --- |
| id | integer |
| status | text |
| note | text |
"""

STOPPED = 'block "slow" was stopped: canceling statement due to statement timeout'
CANNOT = {
    "more": 'it could not be tested: fixture "with_more" needs more than sql_database',
    "raises": "it could not be tested: its set-up raised ValueError: no such thing",
    "slow": f"it fails without a mutation: {STOPPED}",
    "after-slow": (
        'it could not be tested: block "slow", which must run before "after-slow", failed: '
        f"{STOPPED}"
    ),
    "nothing": "it names nothing outside the system's own schemas",
    "system": "it names nothing outside the system's own schemas",
    "skipped": "it is skipped: not here",
    "red": "it fails without a mutation: the page says rows=7",
}


@pytest.fixture
def project(empty_project: pytest.Pytester) -> pytest.Pytester:
    files = {"conftest.py": CONFTEST, "migrations/1.sql": SCHEMA, "docs/page.md": PAGE}
    write_files(empty_project, files)
    return empty_project


def _run(project: pytest.Pytester, *arguments: str) -> tuple[int, dict[str, str], str]:
    """Return the exit status, what came of each item, and all that was printed."""
    result = project.runpytest_subprocess(
        "docs", "--sql-mutate", "-o", "filterwarnings=error", *arguments
    )
    output = str(result.stdout)
    found = re.findall(r"^(red|green|cannot) +\S+::(\S+): (.*)", output, re.MULTILINE)
    return int(result.ret), {name: f"{word}: {text}" for word, name, text in found}, output


def test_what_has_teeth_and_what_has_none(project: pytest.Pytester) -> None:
    status, found, output = _run(project, "--sql-mutation-seed=7")
    assert status == 1
    kinds = {name: text.partition(":")[0] for name, text in found.items()}
    assert kinds == {
        **dict.fromkeys(("column", "reached", "change", "later", "incident", "held"), "red"),
        "public.orders": "red",
        "toothless": "green",
        **dict.fromkeys(CANNOT, "cannot"),
    }
    for name, why in CANNOT.items():
        assert re.match(f"cannot: {why}", found[name]), found[name]
    assert "orders" in found["column"]
    assert "open_count" in found["reached"]
    assert "rename table public.orders" in found["held"]
    assert not any("unused" in text for text in found.values())
    assert "\ndocs/page.md: 7 of 8 (88%), BELOW 90 %" in output
    assert "7 passed, 8 skipped, 1 toothless" in output
    assert "seed 7, " in output


def test_the_threshold_decides(project: pytest.Pytester) -> None:
    status, _, output = _run(project, "--sql-mutation-threshold=85")
    assert status == 0
    assert "88%), at least 85 %" in output


def test_a_seed_repeats_a_run(project: pytest.Pytester) -> None:
    runs = [_run(project, "--sql-mutation-seed=3", "-k", "column or change") for _ in range(2)]
    assert runs[0][1] == runs[1][1]


def test_nothing_to_try_is_a_failure(project: pytest.Pytester) -> None:
    (project.path / "docs/page.md").write_text("# Page\n\nText.\n", encoding="utf-8")
    status, _, _ = _run(project)
    assert status == 1


def test_it_has_one_process(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("docs", "--sql-mutate", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a mutation run has one process: leave out -n*"])
