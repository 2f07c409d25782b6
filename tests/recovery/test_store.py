"""Stores on the command line, and how dataflows are run with them there."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import millstream
import pytest
from millstream.recovery import RecoveryError, init_db_dir

from tests.processes import finished, started
from tests.recovery.refusals import LACKS, MAKES_A_STORE, NO_DIRECTORY, NO_STORE

FLOW = """
import os
import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource


def build(name="flow", step="sum"):
    flow = Dataflow(name)
    items = [("a", 1), ("b", 2), ("c", 3), TestingSource.EOF()]
    items += [("a", 10), ("b", 20), ("c", 30), TestingSource.EOF(), ("a", 100)]
    numbers = op.input("inp", flow, TestingSource(items))
    sums = op.stateful_map(step, numbers, lambda s, n: ((s or 0) + n, (s or 0) + n))
    op.output("out", op.map("text", sums, lambda item: "%s %d" % item), StdOutSink())
    return flow


flow = build()
"""

FIRST, SECOND, THIRD = "a 1\nb 2\nc 3\n", "a 11\nb 22\nc 33\n", "a 111\n"

ALREADY = (
    "The directory `{}` already holds a recovery store. Use it as it is, or remove it "
    "first if its state is no longer wanted."
)
OTHER_STEPS = (
    "the recovery store has state of steps that the dataflow doesn't have: `flow.sum` "
    "(3 keys); for each, give its new name as an alias (`--alias old=new`, or in "
    'Python `aliases={"old": "new"}`), or give its state up (`--drop old`, '
    '`drop=["old"]`)'
)


def refused(code, message):
    """The exit code and output of a command that says one sentence."""
    return code, "", f"millstream: {message}\n"


def worked(out=""):
    return 0, out, ""


class Folder:
    """A dataflow and its store, `store`, on which it has run once."""

    def __init__(self, path):
        self.path = path
        self.store = path / "store"

    def python(self, *args):
        # The same millstream as here.
        path = str(Path(millstream.__file__).parents[1])
        return finished("-m", *args, folder=self.path, PYTHONPATH=path)

    def run(self, *args, what="flow.py", store="store"):
        return self.python("millstream.run", what, "-r", str(store), *args)

    def tool(self, *args):
        return self.python("millstream.recovery", *map(str, args))

    def file(self, number):
        return self.store / f"part-{number}.sqlite3"


@pytest.fixture
def fresh(tmp_path):
    """A store that is new."""
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "store").mkdir()
    init_db_dir(tmp_path / "store", 2)
    return Folder(tmp_path)


@pytest.fixture
def folder(fresh):
    assert fresh.run() == worked(FIRST)
    return fresh


def test_init_db_dir_wants_a_directory(tmp_path):
    with pytest.raises(FileNotFoundError) as raised:
        init_db_dir(tmp_path / "none", 1)
    expected = f"recovery directory `{tmp_path}/none` does not exist; make it first"
    assert str(raised.value) == expected


def test_init_db_dir_again(tmp_path):
    init_db_dir(tmp_path, 1)
    with pytest.raises(RecoveryError) as raised:
        init_db_dir(str(tmp_path), 2)
    assert str(raised.value) == ALREADY.format(tmp_path)
    assert raised.value.exit_code == 64


@pytest.mark.parametrize("count", [0, 1025])
def test_init_db_dir_with_a_count_that_cannot_be(tmp_path, count):
    with pytest.raises(RecoveryError) as raised:
        init_db_dir(tmp_path, count)
    expected = f"A store cannot have {count} partitions: it takes from 1 to 1024."
    assert str(raised.value) == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [-1, 2**40])
def test_init_db_dir_with_a_count_beyond_numbers(tmp_path, count):
    with pytest.raises(RecoveryError):
        init_db_dir(tmp_path, count)


def test_files_are_for_their_owner_only(folder):
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.store.iterdir()
    }
    assert {"lock", "part-0.sqlite3", "part-1.sqlite3"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_make_a_store(tmp_path):
    tools = Folder(tmp_path)
    (tmp_path / "store").mkdir()
    missing = "recovery directory `none` does not exist; make it first"
    assert tools.tool("none", 2) == refused(64, missing)
    for count in (0, -1, 1025, 2**40, "two"):
        assert tools.tool("store", count) == refused(
            64,
            f"argument COUNT: must be a whole number from 1 to 1024; got '{count}'",
        )
    assert tools.tool("store", 2) == worked()
    assert tools.tool("init", "store", 2) == refused(
        64, ALREADY.format(tmp_path / "store")
    )


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("store", -1), id="negative"),
        pytest.param(("store", "many"), id="no-number"),
        pytest.param(("store",), id="no-count"),
        pytest.param((), id="nothing"),
        pytest.param(("inspect", "store", "--yaml"), id="no-such-option"),
    ],
)
def test_called_wrongly(fresh, args):
    code, out, err = fresh.tool(*args)
    assert (code, out) == (64, "")
    assert err.startswith("millstream: ")
    assert err.count("\n") == 1


def test_inspect(folder):
    code, out, err = folder.tool("inspect", "store", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert len(found.pop("store")) == 32
    started_at = found["executions"][0].pop("started")
    assert started_at.endswith("+00:00")
    names = {file.pop("path"): file.pop("bytes") for file in found["files"]}
    assert list(names) == [str(folder.file(0)), str(folder.file(1))]
    assert sum(file.pop("snapshots") for file in found["files"]) == 4
    assert found == {
        "format": 1,
        "flow": "flow",
        "executions": [
            {"execution": 1, "workers": 1, "resume_epoch": 1, "committed_epoch": 1}
        ],
        "steps": [
            {"step": "flow.inp", "keys": 1, "bytes": 5},
            {"step": "flow.sum", "keys": 3, "bytes": 15},
        ],
        "files": [{}, {}],
    }
    code, out, err = folder.tool("inspect", "store")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith(" of dataflow flow")
    table = lines.index("steps")
    assert lines[table + 1 : table + 4] == [
        "  step      keys  bytes",
        "  flow.inp  1     5",
        "  flow.sum  3     15",
    ]


def test_inspect_a_new_store(fresh):
    code, out, err = fresh.tool("inspect", "store")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith(" of dataflow (none yet)")
    assert out.count("  (none)\n") == 2


def test_verify(folder):
    assert folder.tool("verify", "store") == worked("4 snapshots, nothing wrong\n")
    folder.file(1).unlink()
    expected = (76, "", LACKS.format(folder.store) + "\n")
    assert folder.tool("verify", "store") == expected


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param([("repartition", "store", "new", 5)], id="repartition"),
        pytest.param([("backup", "store", "new")], id="backup"),
        pytest.param(
            [("export", "store", "text"), ("import", "text", "new", 3)], id="export"
        ),
    ],
)
def test_copies(folder, commands):
    for command in commands:
        assert folder.tool(*command) == worked("4 snapshots\n")
    assert folder.tool("verify", "new") == worked("4 snapshots, nothing wrong\n")
    assert folder.run(store="new") == worked(SECOND)
    # The first one is as it was.
    assert folder.run() == worked(SECOND)
    code, out, err = folder.tool(*commands[-1])
    assert (code, out) == (64, "")
    assert err == f"millstream: {ALREADY.format(folder.path / 'new')}\n"


def test_a_backup_is_not_the_store(folder):
    """Going on with both would be a fork."""
    assert folder.tool("backup", "store", "new") == worked("4 snapshots\n")
    assert folder.run(store="new", what="flow:build('other')")[0] == 78
    assert folder.run(store="new", what="flow:build(step='total')")[0] == 78


@pytest.mark.parametrize(
    "command", ["inspect", "verify", "export", "backup", "repartition"]
)
@pytest.mark.parametrize(
    ("where", "message"), [("none", NO_DIRECTORY), ("empty", NO_STORE)]
)
def test_no_store(tmp_path, command, where, message):
    (tmp_path / "empty").mkdir()
    more = {"export": ["text"], "backup": ["new"], "repartition": ["new", 2]}
    args = (command, tmp_path / where, *more.get(command, ()))
    code, out, err = Folder(tmp_path).tool(*args)
    assert (code, out) == (76, "")
    assert err.removeprefix("millstream: ") == message.format(tmp_path / where) + "\n"
    assert not (tmp_path / "new").exists()


def test_export_of_nothing_makes_no_file(tmp_path):
    Folder(tmp_path).tool("export", tmp_path / "none", "text")
    assert not (tmp_path / "text").exists()


@pytest.mark.parametrize(
    "args", [("export", "store", "flow.py"), ("import", "none", "new", 1)]
)
def test_text_file_that_cannot_be_used(folder, args):
    code, out, err = folder.tool(*args)
    assert (code, out) == (64, "")
    assert "flow.py" in err or "none" in err


def test_import_of_something_else(folder):
    code, out, err = folder.tool("import", "flow.py", "new", 1)
    assert (code, out) == (76, "")
    assert err.startswith("millstream: Line 1 of the export cannot be used: ")


def test_run_without_a_store(folder):
    (folder.path / "empty").mkdir()
    empty = folder.path / "empty"
    assert folder.run(store=empty) == refused(
        76, NO_STORE.format(empty) + MAKES_A_STORE
    )
    none = folder.path / "none"
    assert folder.run(store=none) == refused(
        76, NO_DIRECTORY.format(none) + MAKES_A_STORE
    )
    assert list(empty.iterdir()) == []


def test_run_to_the_end(folder):
    assert folder.run("-w", "3")[0] == 0
    assert folder.run() == worked(THIRD)
    assert folder.run() == worked()


def test_another_dataflow(folder):
    """D7: once, the two were mixed."""
    assert folder.run(what="flow:build('other')") == refused(
        78,
        "the recovery store belongs to dataflow `flow`, and this is `other`; use a "
        "store of its own for each dataflow",
    )
    assert folder.run() == worked(SECOND)


def test_step_with_another_name(folder):
    """D4: once, it began without state, and said nothing."""
    renamed = "flow:build(step='total')"
    assert folder.run(what=renamed) == refused(78, OTHER_STEPS)
    alias = ("--alias", "flow.sum=flow.total")
    assert folder.run(*alias, what=renamed) == worked(SECOND)
    # Afterwards it is the name.
    assert folder.run(what=renamed) == worked(THIRD)


def test_step_that_is_given_up(folder):
    renamed = "flow:build(step='total')"
    assert folder.run("--drop", "flow.other", what=renamed) == refused(78, OTHER_STEPS)
    began_anew = worked("a 10\nb 20\nc 30\n")
    assert folder.run("--drop", "flow.sum", what=renamed) == began_anew
    assert folder.run(what=renamed) == worked("a 110\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        pytest.param(
            ("--alias", "flow.sum=flow.some"),
            78,
            "the alias of step `flow.sum` is `flow.some`, and the dataflow has no such "
            "step that keeps state; it has `flow.inp` and `flow.total`",
            id="no-such-new-step",
        ),
        pytest.param(
            ("--alias", "flow.some=flow.total"),
            78,
            "`flow.total` is to take over the state of step `flow.some`, and the "
            "recovery store has none of it; it has state of `flow.inp` and `flow.sum`",
            id="no-such-old-step",
        ),
        pytest.param(
            ("--alias", "flow.sum=flow.total", "--drop", "flow.sum"),
            64,
            "step `flow.sum` is both given an alias and dropped; say one of the two",
            id="both",
        ),
    ],
)
def test_changes_that_make_no_sense(folder, args, code, message):
    assert folder.run(*args, what="flow:build(step='total')") == refused(code, message)


def test_alias_without_a_name(folder):
    message = "argument --alias: must be `old=new`, full ids of steps; got 'flow.sum'"
    assert folder.run("--alias", "flow.sum") == refused(64, message)


WAITING = """
from datetime import timedelta
import millstream.operators as op
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource

flow = Dataflow("flow")
items = ["here", TestingSource.PAUSE(timedelta(minutes=1))]
up = op.input("inp", flow, TestingSource(items))
op.output("out", op.inspect("show", up, lambda *_: print(flush=True)), StdOutSink())
"""


def test_store_in_use(fresh):
    """D6: once, both ran."""
    (fresh.path / "waiting.py").write_text(WAITING)
    args = ("-m", "millstream.run", "waiting.py", "-r", "store")
    path = str(Path(millstream.__file__).parents[1])
    with started(*args, folder=fresh.path, PYTHONPATH=path) as first:
        assert first.stdout.readline() == "\n"
        code, out, err = fresh.run()
        assert (code, out) == (73, "")
        assert "is in use by " in err
        assert err.count("\n") == 1
        # A look, and a backup, are always possible.
        assert fresh.tool("inspect", "store")[0] == 0
        assert fresh.tool("backup", "store", "new")[0] == 0
        assert fresh.tool("repartition", "store", "others", 1) == refused(
            73,
            f"The store in `{fresh.store}` is in use by another run (process "
            f"{first.pid}). Stop that one first.",
        )
