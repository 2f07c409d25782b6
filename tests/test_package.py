"""Other distributions add modules to the package."""

from __future__ import annotations

import pytest

from tests.processes import finished


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("millstream/added.py", "millstream.added"),
        ("millstream/connectors/added.py", "millstream.connectors.added"),
    ],
)
def test_modules_can_be_added(tmp_path, file, module):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / file).parent.mkdir(parents=True)
    (elsewhere / file).write_text("answer = 42\n", "utf-8")
    program = (
        f"import {module}; from millstream.connectors.files import FileSource; "
        f"print({module}.answer)"
    )
    ended = finished("-c", program, folder=tmp_path, PYTHONPATH=str(elsewhere))
    assert ended == (0, "42\n", "")
