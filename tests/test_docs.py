"""The Python in the README and the documentation pages runs, a page at a time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if "```python\n" in page.read_text()
)


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_pages_with_code_are_found():
    names = {page.name for page in PAGES}
    assert {"README.md", "getting-started.md", "errors.md"} <= names


@pytest.fixture(autouse=True)
def _defaults(monkeypatch):
    """The pages are about a run without any settings."""
    monkeypatch.delenv("MILLSTREAM_OPTIMIZE", raising=False)
    # There is no collector here.
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_runs(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in python_blocks(page.read_text()):
        exec(compile(block, str(page), "exec"), namespace)  # noqa: S102


def test_readme_prints_what_it_says(capsys):
    [block] = python_blocks((ROOT / "README.md").read_text())
    exec(block, {})  # noqa: S102
    printed = capsys.readouterr().out.split("\n")
    assert printed == ["('be', 2)", "('not', 1)", "('or', 1)", "('to', 2)", ""]
