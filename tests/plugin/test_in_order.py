"""Pages whose blocks build up, and sections that are left out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Order
from sql_snippets.reading.pages import read_page
from tests.plugin.small_project import change, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from sql_snippets.model import Page

SCHEMA = """\
create table orders (id int primary key, status text not null);
insert into orders values (1, 'open'), (2, 'open');
create function run(sql text) returns text language plpgsql as
  $$ declare found text; begin execute sql into found; return found; end $$;
"""
BUILT_UP = """\
<!-- sql: in-order -->

# Set up

**WRITE** · Add a column

<!-- sql: name=add -->

```sql
alter table orders add column note text;
```

## Use it

**WRITE** · Fill it

<!-- sql: name=fill rows=1 -->

```sql
update orders set note = 'first' where id = 1 returning id, note;
```

**READ** · See it

<!-- sql: name=see fill.id=@fill.id -->

```sql
select note from orders where id = <id>;
```

```text
 note
-------
 first
(1 row)
```

**READ** · Nothing goes on from session to session

<!-- sql: name=set no-effect="its session alone sees it" -->

```sql
set application_name = 'mine';
```

<!-- sql: name=unset -->

```sql
select current_setting('application_name') = 'mine' as mine;
```

```text
 mine
------
 f
(1 row)
```
"""
ONE_SESSION = """\
# As in psql

<!-- sql: in-order=session -->

## By hand

**READ** · For this session only

<!-- sql: name=set -->

```sql
set application_name = 'mine';
create temporary table chosen as select id from orders where id = 2;
```

**READ** · It is there

<!-- sql: name=kept -->

```sql
select current_setting('application_name') as name, id from chosen;
```

```text
 name | id
------+----
 mine |  2
(1 row)
```

**READ** · Begin

<!-- sql: name=begin -->

```sql
begin;
```

**WRITE** · Change

<!-- sql: name=change rows=1 -->

```sql
update orders set status = 'closed' where id = 2;
```

**READ** · Look, before it counts

<!-- sql: name=look -->

```sql
select status from orders where id = 2;
```

```text
 status
--------
 closed
(1 row)
```

**WRITE** · Keep it

<!-- sql: name=commit -->

```sql
commit;
```

**READ** · A text from elsewhere

<!-- sql: name=text fill.status=closed rows=1 -->

```sql
select id from orders join chosen using (id) where status = '<status>';
```

## Another section

<!-- sql: name=elsewhere rows=2 -->

```sql
select id from orders where status = 'open';
```
"""
BLOCK = "```sql\nselect 1;\n```\n"


@pytest.fixture
def project(empty_project: pytest.Pytester) -> pytest.Pytester:
    files = {
        "migrations/1.sql": SCHEMA,
        "docs/built.md": BUILT_UP,
        "docs/session.md": ONE_SESSION,
    }
    write_files(empty_project, files)
    return empty_project


def read(folder: Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_text(text, encoding="utf-8")
    return read_page(path, load_site(path))


def named(name: str, words: str = "") -> str:
    return f"<!-- sql: name={name} {words} -->\n\n{BLOCK}\n"


def test_blocks_are_run_one_after_the_other(project: pytest.Pytester) -> None:
    project.runpytest("docs").assert_outcomes(passed=13)


@pytest.mark.parametrize(
    "item",
    [
        "built.md::use-it::see",
        "built.md::use-it::unset",
        "session.md::by-hand::kept",
        "session.md::by-hand::commit",
        "session.md::by-hand::text",
        "session.md::another-section::elsewhere",
    ],
)
def test_a_block_alone_has_the_same_verdict(project: pytest.Pytester, item: str) -> None:
    project.runpytest(f"docs/{item}").assert_outcomes(passed=1)


def test_on_several_workers(project: pytest.Pytester) -> None:
    project.runpytest("docs", "-n2").assert_outcomes(passed=13)


def test_a_block_that_fails_says_so_once(project: pytest.Pytester) -> None:
    change(project, "docs/built.md", "set note = 'first'", "set nte = 'first'")
    result = project.runpytest("docs/built.md", "--sql-report=report.json")
    result.assert_outcomes(passed=1, failed=4)
    text = result.stdout.str()
    assert text.count('column "nte" of relation "orders" does not exist') == 2  # and the summary
    said = 'not checked: it depends on block "fill" (docs/built.md:20:1), which failed.'
    assert text.count(said) == 3 * 2
    verdicts = json.loads((project.path / "report.json").read_text())["items"]
    assert [entry["verdict"] for entry in verdicts if entry["kind"] == "block"] == [
        "passed",
        *["failed"] * 4,
    ]


def test_an_output_that_differs_is_of_its_block_alone(project: pytest.Pytester) -> None:
    change(project, "docs/built.md", " first\n", " other\n")
    project.runpytest("docs/built.md").assert_outcomes(passed=4, failed=1)
    project.runpytest("docs/built.md", "--sql-update").assert_outcomes(passed=5)
    assert (project.path / "docs/built.md").read_text() == BUILT_UP


@pytest.mark.parametrize(
    ("page", "old", "new"),
    [
        ("built", "**READ** · See it", "**WRITE** · See it"),
        ("built", "**WRITE** · Fill it", "**READ** · Fill it"),
        ("session", "**READ** · It is there", "**WRITE** · It is there"),
        ("session", "**READ** · Begin", "**WRITE** · Begin"),
        ("session", "**WRITE** · Change", "**READ** · Change"),
        ("session", "**READ** · Look", "**WRITE** · Look"),
        ("session", "**WRITE** · Keep it", "**READ** · Keep it"),
    ],
)
def test_a_mark_is_that_of_its_block_alone(
    project: pytest.Pytester, page: str, old: str, new: str
) -> None:
    change(project, f"docs/{page}.md", old, new)
    result = project.runpytest(f"docs/{page}.md")
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.re_match_lines([".*the page says (READ|WRITE), but .*"])


def test_a_placeholder_is_tried_in_the_session(project: pytest.Pytester) -> None:
    change(
        project,
        "docs/session.md",
        "select id from orders join chosen using (id) where status = '<status>';",
        "select run('select id from chosen where ''<status>'' <> ''x''');",
    )
    result = project.runpytest("docs/session.md::by-hand::text")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*with a value that has quotes in it, the block breaks*"])


def test_a_kept_verdict_rests_on_the_blocks_before(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SQL_SNIPPETS_NO_CACHE")

    def kept() -> list[str]:
        project.runpytest("docs/built.md", "--sql-report=report.json")
        items = json.loads((project.path / "report.json").read_text())["items"]
        return [entry["name"] for entry in items if entry.get("cached")]

    kept()
    assert kept() == ["add", "fill", "see", "set", "unset"]
    change(project, "docs/built.md", "rows=1 -->", "rows=1 columns='id integer, note text' -->")
    assert kept() == ["add"]


def test_what_stands_before_does_not_notice_a_mutation(project: pytest.Pytester) -> None:
    late = """\
<!-- sql: in-order -->

# Late

<!-- sql: name=first -->

```sql
select id, status from orders order by id;
```

<!-- sql: name=last -->

```sql
select run('select 1') is null;
```
"""
    write_files(project, {"docs/late.md": late})
    pages = ("docs/session.md", "docs/late.md")
    result = project.runpytest(*pages, "--sql-mutate", "--sql-mutation-seed=1")
    found = re.findall(
        r"^(red|green|cannot) .*::([\w-]+)(?:: (.*))?", result.stdout.str(), re.MULTILINE
    )
    verdicts = {name: verdict for verdict, name, _ in found}
    assert verdicts["set"] == verdicts["text"] == verdicts["elsewhere"] == "red"
    # What only the blocks before name is not even tried.
    assert {name: by for _, name, by in found}["last"] == "rename function public.run(sql text)"


def test_the_blocks_before_are_those_of_the_order(tmp_path: Path) -> None:
    text = (
        f"# Page\n\n{named('a')}<!-- sql: in-order=session -->\n\n## B\n\n{named('b')}"
        f"### C\n\n{named('c')}{named('left', 'skip=why')}{named('d')}## E\n\n{named('e')}"
    )
    page = read(tmp_path, text)
    assert page.problems == ()
    earlier = {s.name: [one.name for one in s.earlier] for s in page.snippets}
    assert earlier == {"a": [], "b": [], "c": ["b"], "left": ["b", "c"], "d": ["b", "c"], "e": []}
    orders = [snippet.order for snippet in page.snippets]
    assert orders == [None, *[Order.SESSION] * 4, None]


def test_a_long_order_grows_by_its_blocks_alone(tmp_path: Path) -> None:
    blocks = "".join(named(f"b{n}") for n in range(30))
    page = read(tmp_path, f"<!-- sql: in-order -->\n\n# Page\n\n{blocks}")
    assert len(page.snippets[-1].earlier) == 29
    assert all(one.earlier == () for one in page.snippets[-1].earlier)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("after=a", "page.md:9:18: `after=a` does not fit blocks run in order"),
        ("scenario=stuck", "page.md:9:18: `scenario=stuck` does not fit blocks run in order"),
        ("step=confirm", "page.md:9:18: `step=confirm` does not fit blocks run in order"),
        ("fill.x=@a.one", "page.md:9:18: `fill.x=@a.one`: it needs the name of one block above"),
    ],
)
def test_a_word_that_has_no_place_in_an_order(tmp_path: Path, words: str, message: str) -> None:
    text = f"{named('a')}<!-- sql: in-order -->\n# B\n{named('b', words)}"
    page = read(tmp_path, text)
    problem = page.snippets[1].problems[0]
    assert f"{problem.location}: {problem.message}".startswith(message)
    assert len(page.snippets[1].problems) == 1
    assert page.problems == ()


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        ("in-order=on", "page.md:7:11: `in-order=on`: it takes no value, or `session`"),
        ("in-ordr", "page.md:7:11: unknown word `in-ordr`: did you mean `in-order`?"),
        ("in-order", "page.md:9:1: there is no SQL block here to run in order."),
        ("in-order drill=x", "page.md:7:11: a drill is followed from top to bottom already"),
        ("rows=1", "page.md:7:11: `rows=1` does not fit above a heading"),
    ],
)
def test_what_is_wrong_above_a_heading(tmp_path: Path, heading: str, message: str) -> None:
    page = read(tmp_path, f"{named('a')}<!-- sql: {heading} -->\n\n# B\n\nText.\n")
    found = [f"{problem.location}: {problem.message}" for problem in page.problems]
    assert [text for text in found if text.startswith(message)], found


@pytest.mark.parametrize("word", ["in-order", "drill=stuck"])
def test_an_order_holds_no_other(tmp_path: Path, word: str) -> None:
    text = f"<!-- sql: in-order -->\n\n# A\n\n{named('a')}<!-- sql: {word} -->\n\n## B\n\n{BLOCK}"
    page = read(tmp_path, text)
    assert str(page.problems[0].location) == "page.md:11:11"
    assert "run in order (page.md:3:1)" in page.problems[0].message


def test_a_drill_takes_no_step_out_of_an_order(tmp_path: Path) -> None:
    text = f"<!-- sql: in-order -->\n# A\n\n{named('a')}<!-- sql: drill=x resolve=a -->\n# B\n"
    (drill,) = read(tmp_path, text).drills
    assert "`a` is run in order" in drill.problems[0].message


def test_a_directive_without_its_colon_is_told(tmp_path: Path) -> None:
    page = read(tmp_path, f"<!-- sql in-order -->\n\n# A\n\n{BLOCK}")
    assert "Did you mean `<!-- sql: in-order -->`?" in page.problems[0].message


LEFT_OUT = """\
# Page

<!-- sql: skip="another database" -->

## Left out

<!-- sql: name=gone -->

```sql
select nothing from nowhere;
```

<!-- sql: table=public.nowhere -->

| Column | Type |
| --- | --- |
| id | integer |

### Below

<!-- sql: name=own skip="its own reason" -->

```sql
select nothing from nowhere;
```

## Run

<!-- sql: name=run -->

```sql
select id from orders;
```
"""


def test_a_section_is_left_out_with_its_reason(project: pytest.Pytester) -> None:
    write_files(project, {"docs/left.md": LEFT_OUT})
    result = project.runpytest("docs/left.md")
    result.assert_outcomes(passed=1, skipped=3)
    result.stdout.fnmatch_lines_random(["SKIPPED * another database", "SKIPPED * its own reason"])


def test_a_page_is_left_out_with_the_names_on_it(project: pytest.Pytester) -> None:
    page = LEFT_OUT.replace('skip="another database"', "name=x", 0)
    text = f'<!-- sql: skip="another server" -->\n\n{page}\n`public.nowhere` is not here.\n'
    write_files(project, {"docs/left.md": text})
    result = project.runpytest("docs/left.md")
    result.assert_outcomes(skipped=5)


def test_what_is_wrong_with_a_block_is_told_also_where_it_is_left_out(tmp_path: Path) -> None:
    page = read(tmp_path, f"<!-- sql: skip=why -->\n\n# A\n\n{named('a', 'nme=b')}")
    assert page.snippets[0].skipped == "why"
    assert "did you mean `name`?" in page.snippets[0].problems[0].message
