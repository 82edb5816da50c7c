from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sql_snippets.cli import main

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """\
# A

**READ** · é

<!-- sql: name=one rows=1 -->

```sql
select 'é',
  1;
```

```text
x
```

<!-- sql: skip="needs production" -->

```sql
select 2;
```

<!-- sql: nme=x -->

```sql
select 3;
```

<!--
```sql
select 4;
```
-->
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mkdocs.yml").write_text("markdown_extensions: [pymdownx.superfences]\n", "utf-8")
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / "deep" / "page.md").write_text(PAGE, "utf-8")
    return tmp_path


def list_json(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, Any, str]:
    status = main(["list", "--json", *map(str, paths)])
    out, err = capsys.readouterr()
    return status, json.loads(out), err


def test_lists_every_block_with_its_place_and_claims(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, found, err = list_json(capsys, project / "docs")
    assert (status, err) == (0, "")
    one, two, three = found["blocks"]
    assert one["path"] == "docs/deep/page.md"
    assert (one["line"], one["end_line"]) == (8, 9)
    assert one["id"] == "docs/deep/page.md::a::one"
    assert one["sql"] == "select 'é',\n  1;"
    assert one["skipped"] is None
    assert (one["claims"]["mark"], one["claims"]["rows"]) == ("READ", 1)
    assert one["claims"]["output"]["text"] == "x"
    assert two["skipped"] == "needs production"
    assert three["line"] == 25
    (lost,) = found["not_rendered"]
    assert (lost["path"], lost["line"]) == ("docs/deep/page.md", 29)
    assert "HTML comment" in lost["reason"]
    (problem,) = found["problems"]
    assert (problem["line"], problem["column"]) == (22, 11)
    assert "did you mean `name`?" in problem["message"]


def test_a_file_and_its_folder_give_the_same(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = project / "docs" / "deep" / "page.md"
    assert list_json(capsys, page) == list_json(capsys, project)


def test_the_text_form_names_what_a_person_looks_for(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", str(project)]) == 0
    out, _ = capsys.readouterr()
    assert "docs/deep/page.md:8  docs/deep/page.md::a::one" in out
    assert "skipped: needs production" in out
    assert "docs/deep/page.md:29:1: not shown by the site: it is inside an HTML comment" in out
    assert "docs/deep/page.md:22:11: unknown word `nme=x`" in out
    assert out.endswith("3 blocks on 1 page, 1 written but not shown, 1 problem\n")


def test_passes_over_hidden_folders_and_other_files(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".hidden").mkdir()
    (project / ".hidden" / "a.md").write_text(PAGE, "utf-8")
    (project / "docs" / "a.txt").write_text(PAGE, "utf-8")
    assert len(list_json(capsys, project)[1]["blocks"]) == 3


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\x89PNG\r\n\x1a\n\0\0", None])
def test_an_unreadable_page_is_one_error_and_the_others_are_listed(
    project: Path, capsys: pytest.CaptureFixture[str], data: bytes | None
) -> None:
    bad = project / "docs" / "bad.md"
    if data is not None:
        bad.write_bytes(data)
    status, found, err = list_json(capsys, bad, project / "docs")
    assert status == 2
    assert len(found["blocks"]) == 3
    (line,) = err.splitlines()
    assert line.startswith("sql-snippets: error: ")
    assert str(bad) in line


def test_a_malformed_configuration_is_one_error(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mkdocs.yml").write_text("a: [\n", "utf-8")
    status, found, err = list_json(capsys, project / "docs", project)
    assert (status, found["blocks"]) == (2, [])
    (line,) = err.splitlines()
    assert f"{project / 'mkdocs.yml'}:2:1" in line


def test_a_site_without_superfences_is_one_error(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mkdocs.yml").write_text("site_name: x\n", "utf-8")
    status, _, err = list_json(capsys, project)
    assert status == 2
    assert "lacks pymdownx.superfences" in err


def run(*arguments: str, encoding: str = "utf-8") -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from sql_snippets.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        check=False,
        env={"PYTHONIOENCODING": encoding},
    )


def test_prints_any_sql_on_any_terminal(project: Path) -> None:
    done = run("list", str(project), encoding="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"select '\xe9', ..." in done.stdout


def test_help_and_version() -> None:
    assert b"list" in run("--help").stdout
    assert b"--json" in run("list", "--help").stdout
    assert run("--version").stdout.startswith(b"sql-snippets ")
    assert run().returncode == 2
    assert b"Traceback" not in run().stderr


def test_reading_needs_neither_pytest_nor_mkdocs(project: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "from sql_snippets.reading.pages import read_page\n"
        "from sql_snippets.reading.site import site_without_configuration\n"
        "(path,) = pathlib.Path(sys.argv[1]).glob('docs/*/*.md')\n"
        "page = read_page(path, site_without_configuration(path.parent))\n"
        "sys.exit(not page.snippets or bool({'pytest', 'mkdocs'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project)], capture_output=True, check=False
    )
    assert done.returncode == 0, done
