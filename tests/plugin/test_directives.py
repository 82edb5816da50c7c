from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sql_snippets.mkdocs_site import load_site
from sql_snippets.model import BlockColumn, Column, Failure, Location, Mark, Page, Step
from sql_snippets.reading.directives import Directive, bind_block, parse_directive
from sql_snippets.reading.pages import read_page

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = "```sql\nselect 1;\n```\n"
TABLE = "| a | b |\n|---|---|\n| 1 | 2 |\n"


HERE = Location("page.md", 1, 1)


def parse(text: str) -> Directive:
    return parse_directive(text, HERE, lambda offset: Location("page.md", 1, offset + 1))


def read(folder: Path, text: str) -> Page:
    path = folder / "page.md"
    path.write_bytes(text.encode())
    return read_page(path, load_site(path))


def only_message(problems: tuple[Failure, ...]) -> str:
    (problem,) = problems
    return f"{problem.location}: {problem.message}"


def test_reads_every_word_of_a_block(tmp_path: Path) -> None:
    page = read(
        tmp_path,
        "<!-- sql: name=one scenario=stuck step=resolve role=anon error=42P01\n"
        "     volatile=a,b once fill.reason='it''s' fill.n=1 -->\n"
        "<!-- sql: skip=\"not here: 'x' > 1\" -->\n\n" + BLOCK,
    )
    (snippet,) = page.snippets
    assert snippet.problems == ()
    assert page.problems == ()
    assert snippet.name == "one"
    assert snippet.skipped == "not here: 'x' > 1"
    claims = snippet.claims
    assert (claims.scenario, claims.step, claims.role) == ("stuck", Step.RESOLVE, "anon")
    assert (claims.error, claims.volatile, claims.once) == ("42P01", ("a", "b"), True)
    assert claims.fill == {"reason": "its", "n": "1"}
    assert read(tmp_path, "<!--sql:rows=3-->\n" + BLOCK).snippets[0].claims.rows == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nme=x", "page.md:1:11: unknown word `nme=x`: did you mean `name`?"),
        ("voltile=x", "page.md:1:11: unknown word `voltile=x`: did you mean `volatile`?"),
        ("NAME=x", "page.md:1:11: unknown word `NAME=x`: did you mean `name`?"),
        ("qqqq", "page.md:1:11: unknown word `qqqq`: known are name="),
        ("fil.x=1", "page.md:1:11: unknown word `fil.x=1`"),
        ("fill=1", "page.md:1:11: unknown word `fill=1`: a placeholder is filled with fill.NAME="),
        ("fill.X=1", "page.md:1:11: `fill.X=1`: 'X' is not the name of a placeholder"),
        ("fill.x", "page.md:1:11: `fill.x`: it needs a value"),
        ("table=a.b", "page.md:1:11: `table=a.b` does not fit above a block"),
        ("drill=x", "page.md:1:11: `drill=x` does not fit above a block"),
        ("role=a role=b", "page.md:1:18: `role=b` repeats a word: `role=a` is said already"),
        ("facts=x.sql", "page.md:1:11: `facts=x.sql` does not fit above a block"),
        ("mesage=x", "page.md:1:11: unknown word `mesage=x`: did you mean `message`?"),
        ("column=x", "page.md:1:11: unknown word `column=x`: did you mean `columns`?"),
        ("message=x", "page.md:1:11: `message=x`: it is about the message of an error"),
        ("error=42P01 message=", "page.md:1:23: `message=`: it needs a value"),
        ("columns=id", "page.md:1:11: `columns=id`: it needs a name and a type for each column"),
        ("error=42P01 columns='a b'", "page.md:1:23: `columns=a b`: a block that is expected to"),
        ("fill.x=@one", "page.md:1:11: `fill.x=@one`: after @ it needs a block and a column"),
        ("fill.x=@one.n", "page.md:1:11: `fill.x=@one.n`: no block above has this name"),
        ("rows=two", "page.md:1:11: `rows=two`: it needs a number of rows"),
        ("rows=-1", "page.md:1:11: `rows=-1`: it needs a number of rows"),
        ("rows", "page.md:1:11: `rows`: it needs a number of rows"),
        ("error=42p01", "page.md:1:11: `error=42p01`: it needs a SQLSTATE"),
        ("error=4201", "page.md:1:11: `error=4201`: it needs a SQLSTATE"),
        ("error=42P01 rows=1", "page.md:1:23: `rows=1`: a block that is expected to fail"),
        ("skip=", "page.md:1:11: `skip=`: it needs a value that is not empty"),
        ('skip=" "', "page.md:1:11: `skip= `: it needs a value that is not empty"),
        ("skip", "page.md:1:11: `skip`: it needs a value that is not empty"),
        ("once=1 scenario=x step=resolve", "page.md:1:11: `once=1`: it takes no value"),
        ("once", "page.md:1:11: `once`: it says that a fix must not run twice"),
        ("step=confrm scenario=x", "page.md:1:11: `step=confrm`: a step is confirm, resolve or"),
        ("step=confrm scenario=x", "did you mean confirm"),
        ("step=confirm", "page.md:1:11: `step=confirm` needs an incident"),
        ("scenario=a-b", "page.md:1:11: `scenario=a-b`: it needs the name of a fixture"),
        ("name=", "page.md:1:11: `name=`: it needs letters and digits"),
        ("name=a::b", "page.md:1:11: `name=a::b`: it needs letters and digits"),
        ("within=15", "page.md:1:11: `within=15`: it says how long a verification may take"),
        ("within=x step=verify scenario=y", "page.md:1:11: `within=x`:"),
        ("after=nowhere", "page.md:1:11: `after=nowhere`: no block above has this name"),
        ("volatile=a,,b", "page.md:1:11: `volatile=a,,b`: it needs the names of columns"),
        ('rows=1 role="x', "page.md:1:23: a quote opened here is not closed"),
        ("", "page.md:1:1: empty directive: remove it."),
    ],
)
def test_a_bad_word_is_a_problem_of_its_block(tmp_path: Path, words: str, message: str) -> None:
    page = read(tmp_path, f"<!-- sql: {words} -->\n\n{BLOCK}\n<!-- sql: rows=1 -->\n{BLOCK}")
    bad, good = page.snippets
    assert message in only_message(bad.problems)
    assert good.problems == ()
    assert good.claims.rows == 1
    assert page.problems == ()


def test_places_a_word_on_a_later_line(tmp_path: Path) -> None:
    page = read(
        tmp_path, "é 😀\n\n- a\n\n\t<!-- sql: name=x\n\t  nme=y -->\n\n\t```sql\n\tx\n\t```\n"
    )
    assert only_message(page.snippets[0].problems).startswith("page.md:6:4: unknown word `nme=y`")


@pytest.mark.parametrize(
    ("below", "comes"),
    [
        ("", "the end of the page"),
        ("Text\n\n" + BLOCK, "a paragraph"),
        ("---\n\n" + BLOCK, "a paragraph"),
        ("![](x.png)\n\n" + BLOCK, "a paragraph"),
        ("```text\nx\n```\n\n" + BLOCK, "a block of text"),
        ("- item\n\n" + BLOCK, "a paragraph"),
    ],
)
def test_a_directive_above_nothing_is_a_problem_of_the_page(
    tmp_path: Path, below: str, comes: str
) -> None:
    page = read(tmp_path, f"# A\n\n  <!-- sql: rows=1 -->\n\n{below}")
    assert only_message(page.problems).startswith("page.md:3:3: this directive belongs to nothing")
    assert comes in page.problems[0].message
    assert all(snippet.claims.rows is None for snippet in page.snippets)


def test_comments_and_blank_lines_may_stand_between(tmp_path: Path) -> None:
    page = read(
        tmp_path,
        f"<!-- sql: rows=1 -->\n\n\n<!-- a\nremark -->\n<!-- sql: role=x -->\n\n\n{BLOCK}",
    )
    claims = page.snippets[0].claims
    assert (claims.rows, claims.role, page.problems) == (1, "x", ())


@pytest.mark.parametrize(
    "text",
    [
        f"# A\n\n<!-- sql: rows=1\n\n{BLOCK}",
        f"# A\n\n<!-- sql: rows=1\n\n{BLOCK}\n<!-- sql: rows=2 -->\n\n{BLOCK}",
        f"# A\n\n<!-- sql: rows=1\n\n<!-- remark -->\n\n{BLOCK}",
        f"# A\n\n<!-- sql: rows=1\n\n{BLOCK}\n-->\n\n{BLOCK}",
        "# A\n\n<!-- sql: rows=1",
    ],
)
def test_an_unclosed_directive_is_a_problem_of_the_page(tmp_path: Path, text: str) -> None:
    page = read(tmp_path, text)
    assert only_message(page.problems).startswith("page.md:3:1: this directive is not closed")
    assert all(snippet.claims.rows in {None, 2} for snippet in page.snippets)


@pytest.mark.parametrize(
    "text",
    [
        f"```markdown\n<!-- sql: nonsense -->\n```\n\n{BLOCK}",
        f"    <!-- sql: nonsense -->\n\nText\n\n{BLOCK}",
        f"Write `<!-- sql: nonsense -->` above.\n\n{BLOCK}",
        f"It starts with `<!-- sql:` and words.\n\n{BLOCK}",
        f"<!-- no directive: sql: nonsense -->\n\n{BLOCK}",
    ],
)
def test_what_only_talks_about_directives_is_none(tmp_path: Path, text: str) -> None:
    page = read(tmp_path, text)
    assert page.problems == ()
    assert page.snippets[0].problems == ()


@pytest.mark.parametrize(
    ("above", "mark"),
    [
        ("**READ** · text\n\n", Mark.READ),
        ("**WRITE**\n\n", Mark.WRITE),
        ("__STOP__ text\n\n<!-- sql: rows=1 -->\n\n", Mark.STOP),
        ("**READ** text\n<!-- sql: rows=1 -->\n\n", Mark.READ),
        ("**READ** text\n\n<!-- remark -->\n\n", Mark.READ),
        ("**READ** text\n\nMore\n\n", None),
        ("**READ** text\n\n## B\n\n", None),
        ("**READ** text\n\n```text\nx\n```\n\n", None),
        ("Not **READ** text\n\n", None),
        ("**READY** text\n\n", None),
        ("*READ* text\n\n", None),
        ("`x` **READ** text\n\n", None),
        ("READ text\n\n", None),
        ("", None),
    ],
)
def test_the_mark_is_that_of_the_paragraph_directly_above(
    tmp_path: Path, above: str, mark: Mark | None
) -> None:
    page = read(tmp_path, f"# A\n\n{above}{BLOCK}")
    assert page.snippets[0].claims.mark is mark


def test_the_mark_inside_of_a_list_item(tmp_path: Path) -> None:
    page = read(tmp_path, "1. **WRITE** · text\n\n    ```sql\n    x\n    ```\n")
    assert page.snippets[0].claims.mark is Mark.WRITE


@pytest.mark.parametrize(
    ("below", "text", "place"),
    [
        ("```text\n a\n(0 rows)\n```\n", " a\n(0 rows)", ("page.md:5:1", 6)),
        ("Words.\n\n```text\na\n```\n", "a", ("page.md:7:1", 7)),
        ("```text\n\na\n\n```\n", "a", ("page.md:6:1", 6)),
        ("```text\n```\n", "", ("page.md:5:1", 4)),
    ],
)
def test_the_text_block_below_is_the_output(
    tmp_path: Path, below: str, text: str, place: tuple[str, int]
) -> None:
    output = read(tmp_path, BLOCK + below).snippets[0].claims.output
    assert output is not None
    assert (output.text, (str(output.location), output.end_line)) == (text, place)


@pytest.mark.parametrize(
    "below",
    [
        "## A\n\n```text\na\n```\n",
        "```json\na\n```\n\n```text\na\n```\n",
        "```\na\n```\n",
        "<!--\n```text\na\n```\n-->\n",
    ],
)
def test_no_other_block_is_the_output(tmp_path: Path, below: str) -> None:
    assert read(tmp_path, BLOCK + "\n" + below).snippets[0].claims.output is None


def test_binds_a_table(tmp_path: Path) -> None:
    page = read(
        tmp_path,
        "# A\n\n<!-- sql: table=public.runs -->\n\n"
        "| Column | *Type* |\n|:--|--:|\n| `id` | **bigint** |\n| a \\| b | x \\| [y](z) |\n",
    )
    (table,) = page.tables
    assert table.problems == page.problems == ()
    assert table.id == "page.md::a::public.runs"
    assert (table.header, table.relation) == (("Column", "Type"), "public.runs")
    assert [(str(row.location), row.cells) for row in table.rows] == [
        ("page.md:7:1", ("id", "bigint")),
        ("page.md:8:1", ("a | b", "x | y")),
    ]
    assert str(table.location) == "page.md:5:1"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table=runs", "`table=runs`: it needs a relation with its schema"),
        ("rows=1", "`rows=1` does not fit above a table; a table takes table=, facts=, name="),
        ("name=x", "does not bind the table"),
        ("tabel=a.b", "did you mean `table`?"),
    ],
)
def test_a_table_that_is_not_bound_is_a_problem_of_the_page(
    tmp_path: Path, words: str, message: str
) -> None:
    page = read(tmp_path, f"<!-- sql: {words} -->\n\n{TABLE}")
    assert page.tables == ()
    assert message in only_message(page.problems)


def test_a_bad_word_beside_a_binding_is_a_problem_of_the_table(tmp_path: Path) -> None:
    page = read(tmp_path, f"<!-- sql: table=a.b step=verify -->\n\n{TABLE}")
    assert "`step=verify` does not fit above a table" in only_message(page.tables[0].problems)


STEPS = "".join(
    f"<!-- sql: step={step} -->\n\n```sql\nselect '{step}';\n```\n\n"
    for step in ("confirm", "resolve", "verify")
)


def test_a_drill_has_the_steps_of_its_section(tmp_path: Path) -> None:
    page = read(
        tmp_path,
        f"# A\n\n<!-- sql: drill=stuck -->\n\n## B\n\n{BLOCK}\n### C\n\n{STEPS}## D\n\n{BLOCK}",
    )
    (drill,) = page.drills
    assert (drill.id, drill.scenario, drill.problems) == ("page.md::b::drill", "stuck", ())
    assert str(drill.location) == "page.md:5:1"
    assert [step.claims.step for step in drill.steps] == list(Step)
    assert {step.claims.scenario for step in drill.steps} == {"stuck"}
    assert page.problems == ()


def test_a_drill_ends_with_its_section(tmp_path: Path) -> None:
    page = read(tmp_path, f"<!-- sql: drill=stuck -->\n## B\n\n## C\n\n{STEPS}")
    assert "has no steps" in only_message(page.drills[0].problems)
    assert all("needs an incident" in only_message(s.problems) for s in page.snippets)


def test_a_drill_inside_of_a_drill_is_a_problem(tmp_path: Path) -> None:
    page = read(
        tmp_path,
        f"<!-- sql: drill=outer -->\n## B\n\n{STEPS}<!-- sql: drill=inner -->\n### C\n\n{STEPS}",
    )
    inner, outer = page.drills
    assert "inside the drill of section 'b'" in only_message(inner.problems)
    assert outer.problems == ()


def test_a_drill_names_no_bad_fixture(tmp_path: Path) -> None:
    page = read(tmp_path, "<!-- sql: drill=a-b -->\n## B\n")
    assert "`drill=a-b`: it needs the name of a fixture" in only_message(page.problems)
    assert page.drills == ()


ELSEWHERE = (
    "## A\n\n<!-- sql: name=look -->\n\n```sql\nselect 1;\n```\n\n```text\n1\n```\n\n"
    "<!-- sql: name=fix rows=0 -->\n\n```sql\nselect 2;\n```\n\n"
)
FOLLOWED = "## B\n\n<!-- sql: step=resolve name=own -->\n\n```sql\nselect 3;\n```\n\n"


def test_a_drill_follows_blocks_of_other_sections(tmp_path: Path) -> None:
    later = "## C\n\n<!-- sql: name=done -->\n\n```sql\nselect 4;\n```\n"
    page = read(
        tmp_path,
        f"{ELSEWHERE}<!-- sql: drill=stuck confirm=look resolve=fix verify=done within=9 -->\n"
        f"{FOLLOWED}{later}",
    )
    (drill,) = page.drills
    assert drill.problems == page.problems == ()
    assert [(step.name, step.claims.step) for step in drill.steps] == [
        ("look", Step.CONFIRM),
        ("own", Step.RESOLVE),
        ("fix", Step.RESOLVE),
        ("done", Step.VERIFY),
    ]
    # What their own section shows is not what comes back with the incident.
    assert {(step.claims.rows, step.claims.output) for step in drill.steps} == {(None, None)}
    assert {step.claims.scenario for step in drill.steps} == {"stuck"}
    assert [step.claims.within for step in drill.steps] == [None, None, None, 9]
    # In their own section they stay what they are.
    in_place = {snippet.name: snippet.claims for snippet in page.snippets}
    assert in_place["fix"].rows == 0
    assert in_place["look"].output
    assert {in_place[name].step for name in ("look", "fix", "done")} == {None}


@pytest.mark.parametrize(("said", "within"), [("", 5), (" within=9", 9)])
def test_a_block_that_verifies_elsewhere_keeps_its_time(
    tmp_path: Path, said: str, within: float
) -> None:
    first = "<!-- sql: drill=first -->\n## A\n\n<!-- sql: step=verify within=5 name=done -->\n\n"
    page = read(
        tmp_path,
        f"{first}```sql\nselect 1;\n```\n\n<!-- sql: drill=stuck verify=done{said} -->\n{FOLLOWED}",
    )
    times = [[step.claims.within for step in drill.steps] for drill in page.drills]
    assert times == [[5], [None, within]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "drill=stuck resolve=fx",
            "page.md:19:23: `resolve=fx`: no block of the page has this name; did you mean `fix`",
        ),
        ("drill=stuck resolve=own", "`own` is a step of this section already"),
        ("drill=stuck resolve=fix,fix", "it names a block twice"),
        ("drill=stuck resolve=", "it needs the names of blocks"),
        ("drill=stuck resolve=a_!", "it needs the names of blocks"),
        ("drill=stuck within=9", "so it goes with verify="),
    ],
)
def test_a_block_that_a_drill_cannot_follow(tmp_path: Path, words: str, message: str) -> None:
    page = read(tmp_path, f"{ELSEWHERE}<!-- sql: {words} -->\n{FOLLOWED}")
    assert message in only_message(page.drills[0].problems)


def test_a_drill_does_not_guess_which_block_it_follows(tmp_path: Path) -> None:
    again = ELSEWHERE.replace("## A", "## Again")
    page = read(tmp_path, f"{ELSEWHERE}{again}<!-- sql: drill=stuck resolve=fix -->\n{FOLLOWED}")
    assert "2 blocks of the page have this name" in only_message(page.drills[0].problems)


def test_steps_elsewhere_need_a_drill(tmp_path: Path) -> None:
    page = read(tmp_path, f"{ELSEWHERE}<!-- sql: resolve=fix -->\n## B\n")
    assert "`resolve=fix`: it names blocks that a drill follows" in only_message(page.problems)
    assert page.drills == ()


def test_two_items_of_a_section_do_not_share_a_name(tmp_path: Path) -> None:
    named = f"<!-- sql: name=x -->\n{BLOCK}\n"
    page = read(tmp_path, f"# A\n\n{named}{named}# B\n\n{named}")
    first, second, elsewhere = page.snippets
    assert (first.problems, elsewhere.problems) == ((), ())
    assert "already has an item of this name" in only_message(second.problems)
    assert str(second.problems[0].location) == "page.md:8:11"
    assert len({first.id, second.id, elsewhere.id}) == 3


def test_a_block_follows_those_it_names(tmp_path: Path) -> None:
    blocks = "".join(
        f"<!-- sql: name={name} {words} -->\n\n{BLOCK}\n"
        for name, words in (("a", ""), ("b", "after=a"), ("c", "after=b"), ("d", "after=bb"))
    )
    first, second, third, mistaken = read(tmp_path, blocks).snippets
    assert second.earlier == (first,)
    assert third.earlier == (first, second)
    assert mistaken.earlier == ()
    assert "did you mean" in only_message(mistaken.problems)


def test_an_empty_block_is_a_problem(tmp_path: Path) -> None:
    (snippet,) = read(tmp_path, "```sql\n```\n").snippets
    assert "empty" in only_message(snippet.problems)
    assert str(snippet.locate(0)) == "page.md:1:1"


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=12)))
def test_any_value_survives_quoting(values: dict[str, str]) -> None:
    def quote(value: str) -> str:
        # A single @ would name a block.
        value = f"@{value}" if value.startswith("@") else value
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    directive = parse(" ".join(f"fill.{key}={quote(value)}" for key, value in values.items()))
    bound = bind_block([directive])
    assert bound.claims.fill == values
    assert [p.message for p in bound.problems if "empty directive" not in p.message] == []


@given(st.text(max_size=40))
def test_any_text_is_read_without_an_exception(text: str) -> None:
    directive = parse(text)
    bind_block([directive])
    assert directive.words or directive.problems
    for word in directive.words:
        # the place of a word is where its text begins
        assert not text[word.location.column - 1].isspace()


def test_shapes_and_taken_values_are_read(tmp_path: Path) -> None:
    first = "<!-- sql: name=first.one -->\n\n" + BLOCK
    words = 'columns=\'id bigint, "a ""b" numeric(10, 2) , at timestamp  with time zone\' rows=1'
    page = read(
        tmp_path,
        f"{first}\n<!-- sql: {words} fill.x=@first.one.id fill.y=@@z -->\n\n{BLOCK}",
    )
    one, two = page.snippets
    assert two.problems == ()
    assert two.claims.columns == (
        Column("id", "bigint"),
        Column('a "b', "numeric(10, 2)"),
        Column("at", "timestamp with time zone"),
    )
    assert two.claims.taken == {"x": BlockColumn("first.one", "id")}
    assert two.claims.fill == {"y": "@z"}
    assert two.earlier == (one,)


@pytest.mark.parametrize("where", ["A paragraph.\n", "# Heading\n", BLOCK, TABLE, ""])
def test_exceptions_belong_to_the_page_wherever_they_stand(tmp_path: Path, where: str) -> None:
    page = read(tmp_path, f"<!-- sql: not-names=one_word,two_words -->\n\n{where}")
    assert page.problems == ()
    assert [(word.text, word.location.column) for word in page.not_names] == [
        ("one_word", 11),
        ("two_words", 11),
    ]


def test_an_empty_exception_is_a_problem_of_the_page(tmp_path: Path) -> None:
    page = read(tmp_path, "<!-- sql: not-names= -->\n\nText.\n")
    assert "`not-names=`: it needs names" in only_message(page.problems)


@pytest.mark.parametrize(
    ("comment", "meant"),
    [
        ("<!-- sql name=x -->", "<!-- sql: name=x -->"),
        ("<!--sql name=x-->", "<!-- sql: name=x -->"),
        ("<!-- SQL: name=x -->", "<!-- sql: name=x -->"),
        ("<!-- Sql: -->", "<!-- sql: -->"),
        ("<!-- sql : rows=1 -->", "<!-- sql: rows=1 -->"),
        ("<!-- sql; rows=1 -->", "<!-- sql: rows=1 -->"),
        ("<!-- sqll: -->", "<!-- sql: -->"),
        ("<!-- sq: name=x\n  rows=1 -->", "<!-- sql: name=x rows=1 -->"),
        ("<!-- sql once -->", "<!-- sql: once -->"),
    ],
)
def test_what_is_almost_a_directive_is_a_problem(tmp_path: Path, comment: str, meant: str) -> None:
    page = read(tmp_path, f"# A\n\nText `{comment}`.\n\n  {comment}\n\n{BLOCK}")
    line = 5 + comment.count("\n")
    assert only_message(page.problems) == (
        f"page.md:{line}:3: this comment is not a directive: a directive begins with `<!-- sql:`. "
        f"Did you mean `{meant}`?"
    )


@pytest.mark.parametrize(
    "text",
    [
        "<!-- sql is what follows -->",
        "<!-- SQL below is for the reader = you -->",
        "<!-- all: a=b -->",
        "<!-- sale: x -->",
        "<!-- note: sql: name=x -->",
        "<!-- -->",
        "<!-- mysql charset=utf8 -->",
        "`<!-- sql name=x -->`",
        "```text\n<!-- sql name=x -->\n```",
        "    <!-- SQL: name=x -->",
        "`<!-- sql: -->`",
        "```text\n<!-- sql: name=x -->\n```",
    ],
)
def test_other_comments_and_code_are_left_alone(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, f"# A\n\n{text}\n\nText.\n\n{BLOCK}").problems == ()
