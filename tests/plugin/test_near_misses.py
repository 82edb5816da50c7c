"""What looks like a claim and is none is an error: marks, outputs, directives, what is below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sql_snippets.judging.checks import check_tables_below
from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import Column, Mark, Outcome, Page
from sql_snippets.reading.marks import meant_mark
from sql_snippets.reading.pages import read_page
from sql_snippets.sqltext.psql import accept, compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from sql_snippets.reading.site import Site

DELETE = "```sql\ndelete from public.orders;\n```\n"
SELECT = "```sql\nselect 1 as a;\n```\n"
RESULT = " a\n---\n 99\n(1 row)\n"
CONFIG = """\
site_name: near
markdown_extensions:
  - admonition
  - attr_list
  - md_in_html
  - tables
  - pymdownx.superfences
  - pymdownx.tabbed:
      alternate_style: true
  - pymdownx.details
"""

MARKS = [
    ("**READ** · x", Mark.READ),
    ("**WRITE** · x", Mark.WRITE),
    ("**STOP**", Mark.STOP),
    ("**READ:** x", Mark.READ),
    ("**READ** - x", Mark.READ),
    ("**READ** | x", Mark.READ),
    ("__READ__ · x", Mark.READ),
    ("**`READ`** · x", Mark.READ),
    ("***READ*** · x", Mark.READ),
    ("<b>READ</b> · x", Mark.READ),
    ("**READ**\\\nx", Mark.READ),
    ("- **READ** · x", Mark.READ),
    ("> **READ** · x", Mark.READ),
    ("**READ** · x\n\n<!-- a comment -->", Mark.READ),
    ("[**STOP**](#y) · x", Mark.STOP),
    ('<a id="y"></a> **STOP** · x', Mark.STOP),
]
ALMOST_MARKS = [
    # other letters
    *("**Read** · x", "**read** · x", "**rEAD** x", "**Stop** x", "**Write:** x"),
    *("**\N{FULLWIDTH LATIN CAPITAL LETTER R}EAD** · x", "**RE\N{SOFT HYPHEN}AD** · x"),
    *("**R\N{CYRILLIC CAPITAL LETTER IE}AD** · x", "**ST\N{GREEK CAPITAL LETTER OMICRON}P** · x"),
    # other emphasis
    *("*READ* · x", "_STOP_ · x", "`READ` · x", "<i>READ</i> · x", "<mark>STOP</mark> x"),
    *("<em>Read</em> · x", "<u>WRITE</u> x", "<kbd>STOP</kbd> · x", "`read` · x", "*Write* · x"),
    # none
    *("READ · x", "READ x", "READ: x", "READ - x", "READ", "Read · x", "stop · x", "[READ] x"),
    *(
        "(STOP) x",
        "** READ ** · x",
        r"\*\*READ\*\* · x",
        "- READ · x",
        "> STOP · x",
        "1. WRITE · x",
    ),
    *("**READ* · x", "*READ** · x", "\\*\\*READ · x"),
    # more words
    *(
        "**READ ONLY** x",
        "**READ-ONLY** · x",
        "**READ/WRITE** · x",
        "**Read only** · x",
        "READ ONLY · x",
    ),
    *(
        "**ONLY READ** · x",
        "**READ · x**",
        "**READ, then STOP** · x",
        "**STOP FIRST** x",
        "**THE STOP** x",
    ),
    *("**WRITE OPERATION** x", "**Stop and read** x", "**SAFE READ** · x", "Read only · x"),
    # not first
    *("Look: **READ** · x", "This is a **STOP** · x", "\N{LARGE GREEN CIRCLE} **READ** · x"),
    *("1) **READ** · x", "Danger **STOP**", "a **WRITE**: x"),
    # a slip
    *("**REED** · x", "**RAED** x", "**WIRTE** · x", "**STOPP** · x", "**STPO** x", "**REA** · x"),
    *("**WRTE** x", "**READS** x", "**Raed** · x", "**WRIT** · x", "RAED · x"),
    # another word where a mark stands
    *("**WARNING** · x", "**LESEN** · x", "**DANGER** · x", "**DELETE** · x", "SAFE · x"),
    # a heading
    *("## **READ** x", "## READ · x", "### *STOP* · x", "#### **Write** x"),
    # not directly above
    *("**READ** · x\n\nMore text.", "**STOP** · x\n\n- one\n- two", "**WRITE** · x\n\n---"),
    *('!!! note "READ"', "**READ** · x\n\n![image](x.png)"),
]
NO_MARKS = [
    *("Read the log first.", "Stop the job:", "Write to the team, then run this:", "Then:"),
    *("**Note:** x", "**WARNING:** x", "**Read the log first.** Then:", "**Step 1** · x"),
    *("**STEP 1:** x", "**STEP** x", "**READY** x", "`stop_job` ends it", "**Reading** is cheap"),
    *("Stop: nothing else may run.", "## Read the log", "## STOP words of the index", "## Write"),
    *("It was **stopped**.", "The **read** replica:", "**Stop the scheduler**, then:"),
    *("- **READ** is safe\n- **WRITE** changes\n- **STOP** loses\n\nNow:", "**PostgreSQL** only"),
    *("**SELECT** returns one row", "**HEAD** of the queue", "**1** · x", "**A table** · x"),
    *("**TODO:** x", "**Tip** x", "See **WAL** below"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("near")
    (root / "mkdocs.yml").write_text(CONFIG, "utf-8")
    (root / "docs").mkdir()
    return load_site(root)


def read(site: Site, text: str) -> Page:
    path = site.docs_dir / "x.md"
    path.write_text(text, "utf-8")
    return read_page(path, site)


def problems_of(site: Site, text: str) -> list[str]:
    page = read(site, text)
    found = [*page.problems, *(problem for one in page.snippets for problem in one.problems)]
    return [problem.message for problem in found]


@pytest.mark.parametrize(("above", "mark"), MARKS)
def test_a_mark_is_a_mark(site: Site, above: str, mark: Mark) -> None:
    (snippet,) = read(site, f"# t\n\n{above}\n\n{DELETE}").snippets
    assert (snippet.claims.mark, snippet.problems) == (mark, ())


@pytest.mark.parametrize("above", ALMOST_MARKS)
def test_almost_a_mark_is_an_error(site: Site, above: str) -> None:
    page = read(site, f"# t\n\n{above}\n\n{DELETE}")
    (snippet,) = page.snippets
    assert snippet.claims.mark is None
    (problem,) = snippet.problems
    assert "looks like a mark but is not" in problem.message or "no block" in problem.message
    assert 3 <= problem.location.line < snippet.fence.line


@pytest.mark.parametrize("above", NO_MARKS)
def test_what_is_no_mark_is_left_alone(site: Site, above: str) -> None:
    (snippet,) = read(site, f"# t\n\n{above}\n\n{DELETE}").snippets
    assert (snippet.claims.mark, snippet.problems) == (None, ())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Read", Mark.READ),
        ("READ ONLY", Mark.READ),
        ("WIRTE", Mark.WRITE),
        ("STOPP", Mark.STOP),
        ("READ/WRITE", None),
        ("WARNING", None),
        ("LESEN", None),
    ],
)
def test_the_mark_that_was_meant_is_named(written: str, meant: Mark | None) -> None:
    assert meant_mark(written) is meant


_WRAPS = ["**{}**", "__{}__", "*{}*", "`{}`", "<b>{}</b>", "<em>{}</em>", "{}"]
_SLIPS: dict[str, Callable[[str, int], str]] = {
    "none": lambda word, _: word,
    "swap": lambda word, at: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    "double": lambda word, at: word[:at] + word[at] + word[at:],
    "drop": lambda word, at: word[:at] + word[at + 1 :],
    "lower": lambda word, _: word.lower(),
    "title": lambda word, _: word.title(),
    "more": lambda word, _: word + " ONLY",
}
_SEPARATORS = [" · ", ": ", " - ", " | ", " \N{EN DASH} ", "\\\n", " · role `x` · "]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    mark=st.sampled_from(list(Mark)),
    slip=st.tuples(st.sampled_from([*_SLIPS]), st.integers(0, 2)),
    wrap=st.sampled_from(_WRAPS),
    separator=st.sampled_from(_SEPARATORS),
)
def test_no_near_miss_is_silent(
    site: Site, mark: Mark, slip: tuple[str, int], wrap: str, separator: str
) -> None:
    """A block below what a person would take for a mark has that mark, or fails."""
    how, at = slip
    word = _SLIPS[how](str(mark), at)
    # Without emphasis, only the separator of a mark or capitals tell it from a sentence.
    assume(wrap != "{}" or "·" in separator or word.startswith(mark))
    # Not to be told from words of their own.
    assume(word not in {"TOP", "RED"} or "·" in separator)
    (snippet,) = read(site, f"# t\n\n{wrap.format(word)}{separator}x\n\n{DELETE}").snippets
    assert snippet.problems or snippet.claims.mark is mark


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    opening=st.sampled_from(["<!--", "<!-- ", "<!--\n", "<!--\t"]),
    word=st.sampled_from(["sql", "SQL", "Sql", "slq", "sqll", "sq", "qsl", "sgl"]),
    colon=st.sampled_from([":", " :", ";", ": ", " ; "]),
    claim=st.sampled_from(["rows=77", "row=77", "ROWS=77", "rows:77", "rows 77", "rows=77 onse"]),
)
def test_no_almost_directive_is_silent(
    site: Site, opening: str, word: str, colon: str, claim: str
) -> None:
    """A comment above a block is what it says, or an error."""
    # Neither a directive by its first word nor by those that follow.
    assume("=" in claim or word.lower() == "sql")
    page = read(site, f"# t\n\n{opening}{word}{colon} {claim} -->\n\n{SELECT}")
    (snippet,) = page.snippets
    assert page.problems or snippet.problems or snippet.claims.rows == 77


FENCES = ["txt", "plaintext", "plain", "console", "none", "output", "psql", "postgresql-console"]
FENCES += ["", "bash", "shell", "json", "log", "result", "{.txt}", 'txt title="Output"', "sh"]
OUTPUTS = [
    RESULT,
    " a | b\n---+---\n 1 | 2\n",
    " id\n----\n  1\n",
    "+---+\n| a |\n+---+\n| 1 |\n+---+\n",
    "-[ RECORD 1 ]\na | 1\n",
    "UPDATE 3\n",
    "INSERT 0 1\n",
    'ERROR:  relation "x" does not exist\n',
    "| a |\n|---|\n| 1 |\n",
    "a | b\n--|--\n1 | 2\n",
    "┌───┐\n│ a │\n├───┤\n│ 1 │\n└───┘\n",
    "(0 rows)\n",
]
NO_OUTPUTS = [
    "We are done.\n",
    "curl https://example.org\n",
    '{"a": 1}\n',
    "---\na: 1\n",
    "a | b\n",
    "# title\n-------\n",
    "- one\n- two\n",
    "UPDATE orders\n",
]


@pytest.mark.parametrize("language", FENCES)
def test_a_result_in_another_fence_is_an_error(site: Site, language: str) -> None:
    (message,) = problems_of(site, f"# t\n\n{SELECT}\n```{language}\n{RESULT}```\n")
    assert "it is not compared" in message
    assert "not-output" in message


@pytest.mark.parametrize("output", OUTPUTS)
def test_each_shape_of_output_is_known(site: Site, output: str) -> None:
    assert len(problems_of(site, f"# t\n\n{SELECT}\n```\n{output}```\n")) == 1


@pytest.mark.parametrize("text", NO_OUTPUTS)
def test_other_text_is_left_alone(site: Site, text: str) -> None:
    assert problems_of(site, f"# t\n\n{SELECT}\n```\n{text}```\n") == []


@pytest.mark.parametrize(
    "below",
    [
        pytest.param(f"```mysql\nselect 1;\n```\n\n```text\n{RESULT}```\n", id="dialect"),
        pytest.param(f"```text\n{RESULT}```\n\n```text\n{RESULT}```\n", id="second"),
        pytest.param(f"```text\nhello\n```\n\n```\n{RESULT}```\n", id="second-unnamed"),
        pytest.param(f"You get:\n\n```txt\n{RESULT}```\n", id="paragraph"),
        pytest.param(
            f'=== "Output"\n\n    ```txt\n{RESULT.replace(" a", "     a")}    ```\n', id="tab"
        ),
        pytest.param("     a\n    ---\n     99\n    (1 row)\n", id="indented"),
        pytest.param(" a\n---\n 99\n(1 row)\n", id="bare"),
        pytest.param(" a | b\n---+---\n 1 | 2\n(1 row)\n", id="bare-two-columns"),
        pytest.param("<pre>\n a\n---\n 99\n(1 row)\n</pre>\n", id="pre"),
    ],
)
def test_a_result_in_another_place_is_an_error(site: Site, below: str) -> None:
    (message,) = problems_of(site, f"# t\n\n{SELECT}\n{below}")
    assert "it is not compared" in message


@pytest.mark.parametrize(
    "below",
    [
        pytest.param(f"```text\n{RESULT}```\n", id="the-output"),
        pytest.param(f"<!-- sql: not-output -->\n\n```\n{RESULT}```\n", id="said"),
        pytest.param(f"<!-- sql: not-output -->\n\n```text\n{RESULT}```\n", id="said-of-text"),
        pytest.param(
            f"<!-- sql: not-output -->\n\n```text\nx\n```\n\n```text\n{RESULT}```\n",
            id="then-output",
        ),
        pytest.param(f"```bash\npsql\n```\n\n```\n{RESULT}```\n", id="of-a-program"),
        pytest.param(f"## t\n\n```\n{RESULT}```\n", id="another-section"),
        pytest.param(f"````markdown\n```text\n{RESULT}```\n````\n", id="about-pages"),
        pytest.param("```text\nWe are done.\n```\n", id="text"),
    ],
)
def test_what_is_compared_or_said_is_no_error(site: Site, below: str) -> None:
    assert problems_of(site, f"# t\n\n{SELECT}\n{below}") == []


def test_what_is_said_to_be_no_output_is_not_compared(site: Site) -> None:
    said = f"<!-- sql: not-output -->\n\n```text\nx\n```\n\n```text\n{RESULT}```\n"
    (snippet,) = read(site, f"# t\n\n{SELECT}\n{said}").snippets
    assert snippet.claims.output is not None
    assert snippet.claims.output.text == RESULT.rstrip("\n")


@pytest.mark.parametrize(
    "sql", ["-- a comment", "/* a */", ";", " ; ; ", "-- a\n;", "/* /* */ */;"]
)
def test_a_block_without_a_statement_is_an_error(site: Site, sql: str) -> None:
    (message,) = problems_of(site, f"# t\n\n```sql\n{sql}\n```\n")
    assert "holds no statement" in message


COLUMNS = (Column("id", "integer"), Column("sent_at", "text"))


def outcome(
    columns: tuple[Column, ...] | None, *rows: tuple[str | None, ...], tag: str = "SELECT 1"
) -> Outcome:
    return Outcome(columns, rows, tag, None, (), 0.1, "clone")


@pytest.mark.parametrize(
    ("header", "is_output"),
    [
        ("| id | sent_at |", True),
        ("| `id` | `sent_at` |", True),
        ("| id |", True),
        ("| ID | Sent_At |", True),
        ("| id | send_at |", True),
        ("| What you see | Next |", False),
        ("| id | Meaning |", False),
        ("| column | meaning |", False),
        ("| Value | Meaning | Next |", False),
    ],
)
def test_a_table_with_the_columns_of_the_result_is_an_error(
    site: Site, header: str, *, is_output: bool
) -> None:
    count = header.count("|") - 1
    table = f"{header}\n{'|---' * count}|\n{'| 1 ' * count}|\n"
    for said, wrong in (("", is_output), ("<!-- sql: not-output -->\n\n", False)):
        page = read(site, f"# t\n\n{SELECT}\n{said}{table}")
        (snippet,) = page.snippets
        assert (page.problems, snippet.problems) == ((), ())
        found = check_tables_below(snippet, outcome(COLUMNS, ("1", "x")))
        assert bool(found) is wrong
        if found:
            assert found[0].location.line == 7


INSERTED = outcome((Column("customer", "text"),), ("Cy",), tag="INSERT 0 1")
NODES = outcome((Column("node", "text"),), ("root",), ("  child",), ("    leaf",))
HEAD = " customer\n----------\n Cy\n(1 row)\n"


@pytest.mark.parametrize(
    ("output", "given", "is_right"),
    [
        (HEAD, INSERTED, True),
        (HEAD + "\nINSERT 0 1\n", INSERTED, True),
        (HEAD + "INSERT 0 1\n\n", INSERTED, True),
        (HEAD + "\nINSERT 0 99\n", INSERTED, False),
        (HEAD + "\nUPDATE 1\n", INSERTED, False),
        (HEAD + "\nTime: 0.3 ms\n", INSERTED, False),
        (HEAD + "\n customer\n----------\n Di\n(1 row)\n", INSERTED, False),
        (HEAD + "\n" + HEAD, INSERTED, False),
        (HEAD + "\nNOTICE:  hi\n", INSERTED, False),
        ("NOTICE:  hi\n" + HEAD, INSERTED, False),
        (" node\n------\n root\n   child\n     leaf\n(3 rows)", NODES, True),
        (" node\n------\n root\n child\n leaf\n(3 rows)", NODES, False),
        (" node\n------\n root\n  child\n     leaf\n(3 rows)", NODES, False),
        ("   node\n  ------\n   root\n     child\n       leaf\n  (3 rows)", NODES, True),
        (" node\n------\n root\n ...\n ...\n(3 rows)", NODES, True),
        (" a | n\n---+---\n x | 1", outcome((Column("a", "text"), COLUMNS[0]), ("x", "1")), False),
        (
            " a | id\n---+----\n    x | 1",
            outcome((Column("a", "text"), COLUMNS[0]), ("x", "1")),
            False,
        ),
        (
            " a | id\n---+----\n x |  1",
            outcome((Column("a", "text"), COLUMNS[0]), ("x", "1")),
            True,
        ),
        (" a | id\n---+----\n x | 1", outcome((Column("a", "text"), COLUMNS[0]), ("x", "1")), True),
        ("DO", outcome(None, tag="DO"), True),
        ("DO\nDO", outcome(None, tag="DO"), False),
    ],
)
def test_all_of_an_output_is_compared(output: str, given: Outcome, *, is_right: bool) -> None:
    assert (compare(output, given) is None) is is_right
    # What is accepted is right from then on.
    assert compare(accept(output, given) or "", given) is None


def test_notices_are_compared_where_a_page_shows_them() -> None:
    said = Outcome(None, (), "DO", None, ("NOTICE:  hi", "WARNING:  ho"), 0.1, "clone")
    assert compare("DO", said) is None
    assert compare("NOTICE:  hi\nWARNING:  ho\nDO", said) is None
    assert compare("NOTICE:  hi\nWARNING:  ho", said) is None
    for wrong in (
        "NOTICE:  hi\nDO",
        "NOTICE:  he\nWARNING:  ho\nDO",
        "NOTICE:  hi\nWARNING:  ho\nUPDATE 1",
    ):
        assert compare(wrong, said) is not None
        assert accept(wrong, said) == "NOTICE:  hi\nWARNING:  ho\nDO"


@settings(max_examples=60)
@given(
    cells=st.lists(st.text("ab  ", min_size=1, max_size=4), min_size=1, max_size=3),
    junk=st.sampled_from(["", "\nx", "\nINSERT 0 2", "\n(1 row)", "\nNOTICE:  x"]),
    data=st.data(),
)
def test_an_output_is_right_for_one_result_only(
    cells: list[str], junk: str, data: st.DataObject
) -> None:
    """Blanks at the start count, and so does what stands below the count."""
    shown = outcome((Column("a", "text"),), *((cell,) for cell in cells))
    lines = [" a", "---", *(f" {cell}" for cell in cells)]
    text = "\n".join([*lines, f"({len(cells)} row{'s' if len(cells) > 1 else ''})"])
    assert compare(text, shown) is None
    at = data.draw(st.integers(0, len(cells) - 1))
    other = outcome(shown.columns, *((f" {c}" if n == at else c,) for n, c in enumerate(cells)))
    if cells[at].strip():
        assert compare(text, other) is not None
    assert (compare(text + junk, shown) is None) is (not junk)
