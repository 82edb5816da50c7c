"""The workflows of the project, by the schema that GitHub's are written to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def lint(*files: Path) -> subprocess.CompletedProcess[str]:
    """Compare with the schema that comes with the package: nothing is downloaded."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    return subprocess.run(
        [*command, "vendor.github-workflows", *files], capture_output=True, text=True, check=False
    )


def test_workflows_are_what_github_takes() -> None:
    assert WORKFLOWS
    result = lint(*WORKFLOWS)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_slip_would_be_found(tmp_path: Path) -> None:
    slip = tmp_path / "slip.yml"
    text = WORKFLOWS[0].read_text(encoding="utf-8")
    assert "runs-on:" in text
    slip.write_text(text.replace("runs-on:", "run-on:", 1), encoding="utf-8")
    assert lint(slip).returncode == 1


def test_workflows_run_what_is_there() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    called = set(re.findall(r"(?<![\w/])(?:\.ci|scripts)/[\w-]+", text))
    assert {".ci/run", ".ci/versions"} <= called
    assert [name for name in sorted(called) if not (ROOT / name).is_file()] == []
