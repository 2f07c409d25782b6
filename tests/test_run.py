"""The command line: import strings, options, exit codes and what it says."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from millstream import run
from millstream.dataflow import Dataflow

from tests import processes
from tests.processes import TIMEOUT


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in list(os.environ):
        if name.startswith("MILLSTREAM_"):
            monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write modules to an empty current directory, and forget them afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(path, source=""):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), "utf-8")
        importlib.invalidate_caches()
        return file

    yield write
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def locate(import_str):
    return run._locate_dataflow(*run._prepare_import(import_str))


def usage_error(function, *args):
    with pytest.raises(run._UsageError) as caught:
        function(*args)
    return str(caught.value)


class TestPrepareImport:
    @pytest.mark.parametrize(
        ("import_str", "expected"),
        [
            ("wordcount", ("wordcount", "flow")),
            ("examples.wordcount", ("examples.wordcount", "flow")),
            ("examples.wordcount:other", ("examples.wordcount", "other")),
            ("a.b:get('c:d', {1: 2})", ("a.b", "get('c:d', {1: 2})")),
        ],
    )
    def test_dotted_name_is_found_from_the_current_directory(
        self, write, tmp_path, import_str, expected
    ):
        del write
        assert run._prepare_import(import_str) == expected
        assert sys.path[0] == str(tmp_path)

    @pytest.mark.parametrize(
        ("where", "root", "module"),
        [
            ("flow_file.py", ".", "flow_file"),
            ("./flow_file.py", ".", "flow_file"),
            ("./flow_file", ".", "flow_file"),
            ("folder/in_folder.py", "folder", "in_folder"),
            ("folder/../flow_file.py", ".", "flow_file"),
            ("package/inner/deep.py", ".", "package.inner.deep"),
            ("package/inner/__init__.py", ".", "package.inner"),
            ("package/inner/", ".", "package.inner"),
            ("folder/with-dash.py", "folder", "with-dash"),
        ],
    )
    def test_path_is_split_into_root_and_module(
        self, write, tmp_path, where, root, module
    ):
        write("flow_file.py")
        write("folder/in_folder.py")
        write("folder/with-dash.py")
        write("package/__init__.py")
        write("package/inner/__init__.py")
        write("package/inner/deep.py")

        assert run._prepare_import(f"{where}:x") == (module, "x")
        assert sys.path[0] == str((tmp_path / root).resolve())

    def test_absolute_path(self, write):
        file = write("elsewhere/absolute.py")
        assert run._prepare_import(str(file)) == ("absolute", "flow")

    def test_root_is_not_added_twice(self, write):
        write("flow_file.py")
        run._prepare_import("flow_file.py")
        before = [*sys.path]
        run._prepare_import("flow_file")
        assert sys.path == before

    @pytest.mark.parametrize("import_str", ["", ":", ":flow", "a:", "a..b", ".a", "a."])
    def test_not_an_import_string(self, import_str):
        assert usage_error(run._prepare_import, import_str) == (
            f"`{import_str}` is not an import string; write `path/to/file.py`, "
            "`package.module`, or either followed by `:` and the name of a dataflow "
            "or a call that returns one"
        )

    @pytest.mark.parametrize("where", ["nowhere.py", "no/where.py", "no/where"])
    def test_missing_file(self, write, where):
        del write
        assert usage_error(run._prepare_import, where) == (
            f"can't find a dataflow in `{where}`: there is no such file"
        )

    def test_directory_that_is_not_a_package(self, write):
        write("folder/in_folder.py")
        assert usage_error(run._prepare_import, "./folder") == (
            "can't find a dataflow in `./folder`: it is a directory without "
            "`__init__.py`; name a file in it"
        )

    def test_file_name_with_a_dot(self, write):
        file = write("my.flow.py")
        assert usage_error(run._prepare_import, "my.flow.py") == (
            f"can't import `{file}`: Python can't import a module whose name "
            "contains `.`, such as `my.flow`; rename it"
        )

    def test_file_named_like_a_loaded_module(self, write):
        file = write("textwrap.py")
        assert usage_error(run._prepare_import, "textwrap.py") == (
            f"can't import `{file}`: another module is named `textwrap` already, "
            f"`{textwrap.__file__}`; rename yours"
        )

    def test_file_named_like_a_built_in_module(self, write):
        file = write("time.py")
        assert usage_error(run._prepare_import, "time.py") == (
            f"can't import `{file}`: another module is named `time` already, "
            "`built into Python`; rename yours"
        )


FLOWS = """
    import functools

    from millstream.dataflow import Dataflow

    flow = Dataflow("plain")
    other = Dataflow("other")
    number = 42

    def get_flow(name="default", *, suffix=""):
        return Dataflow(name + suffix)

    def get_number():
        return 42

    def needs_name(name):
        return Dataflow(name)

    partial = functools.partial(get_flow, "partial")
    cached = functools.cache(get_flow)

    class Factory:
        def __call__(self, size):
            return Dataflow(f"made_{size}")

    factory = Factory()
"""


class TestLocateDataflow:
    @pytest.fixture(autouse=True)
    def _flows(self, write):
        write("flows.py", FLOWS)

    @pytest.mark.parametrize(
        ("import_str", "flow_id"),
        [
            ("flows", "plain"),
            ("flows.py", "plain"),
            ("flows:other", "other"),
            ("flows: other", "other"),
            ("flows:get_flow", "default"),
            ("flows:get_flow()", "default"),
            ("flows:get_flow('a:b')", "a:b"),
            ("flows.py:get_flow('a', suffix='b')", "ab"),
            ("flows:partial()", "partial"),
            ("flows:cached('c')", "c"),
            ("flows:factory(-3)", "made_-3"),
            ("flows:Dataflow('made_here')", "made_here"),
        ],
    )
    def test_found(self, import_str, flow_id):
        flow = locate(import_str)
        assert isinstance(flow, Dataflow)
        assert flow.flow_id == flow_id

    @pytest.mark.parametrize(
        ("import_str", "message"),
        [
            (
                "flows:missing",
                (
                    "module `flows` has no attribute `missing`; its dataflows are "
                    "`flows:flow`, `flows:other`"
                ),
            ),
            ("flows:number", "`flows:number` is not a `Dataflow` but an `int`"),
            (
                "flows:get_number()",
                "`flows:get_number()` is not a `Dataflow` but an `int`",
            ),
            (
                "flows:partial",
                (
                    "`flows:partial` is not a `Dataflow` but a `partial`; "
                    "add parentheses to call it"
                ),
            ),
            (
                "flows:flow()",
                (
                    "can't call `flows:flow()`: it is a `Dataflow`; "
                    "leave out the parentheses"
                ),
            ),
            (
                "flows:needs_name",
                "can't call `flows:needs_name`: missing a required argument: 'name'",
            ),
            (
                "flows:get_flow(1, 2)",
                "can't call `flows:get_flow(1, 2)`: too many positional arguments",
            ),
            (
                "flows:get_flow(size=2)",
                (
                    "can't call `flows:get_flow(size=2)`: "
                    "got an unexpected keyword argument 'size'"
                ),
            ),
            (
                "no_such_module",
                (
                    "can't find a dataflow in `no_such_module`: there is no module "
                    "`no_such_module` in the current directory or where Python is "
                    "installed"
                ),
            ),
            (
                "no_such_package.module",
                (
                    "can't find a dataflow in `no_such_package.module`: there is no "
                    "module `no_such_package` in the current directory or where Python "
                    "is installed"
                ),
            ),
            (
                "flows.inside",
                (
                    "can't find a dataflow in `flows.inside`: there is no module "
                    "`flows.inside` in the current directory or where Python is "
                    "installed"
                ),
            ),
        ],
    )
    def test_not_found(self, import_str, message):
        assert usage_error(locate, import_str) == message

    @pytest.mark.parametrize("expression", ["a.b", "a[0]", "1", "f(", "f()()", "a b"])
    def test_neither_name_nor_call(self, expression):
        assert usage_error(locate, f"flows:{expression}") == (
            f"can't find a dataflow by `{expression}`: after the `:` comes a name, or "
            "a call of a name with literal arguments"
        )

    @pytest.mark.parametrize(
        "expression",
        ["f(number)", "f(1 + x)", "f(*[1])", "f(**{'a': 1})", "f(g())", "f({[]})"],
    )
    def test_arguments_that_are_not_literals(self, expression):
        assert usage_error(locate, f"flows:{expression}") == (
            f"can't call `{expression}`: the arguments must be literals, such as "
            "`1`, `'text'` or `[1, 2]`"
        )

    def test_module_without_a_dataflow(self, write):
        write("empty_module.py")
        assert usage_error(locate, "empty_module") == (
            "module `empty_module` has no attribute `flow`; it has no dataflow"
        )

    def test_missing_import_of_the_module_passes_through(self, write):
        write("needs_more.py", "import not_installed_anywhere")
        with pytest.raises(ModuleNotFoundError) as caught:
            locate("needs_more")
        assert caught.value.name == "not_installed_anywhere"

    def test_type_error_inside_a_function_passes_through(self, write):
        write("type_error.py", "def flow(): return len(1)")
        with pytest.raises(TypeError, match="has no len"):
            locate("type_error")


class TestParseArgs:
    def test_defaults(self):
        args = run._parse_args(["flow.py"])
        assert vars(args) == {
            "import_str": "flow.py",
            "recovery_directory": None,
            "snapshot_interval": None,
            "backup_interval": None,
            "workers_per_process": 1,
            "process_id": None,
            "addresses": None,
            "processes": None,
            "restart": 0,
            "secret_file": None,
            "tls": None,
            "insecure_cluster": False,
            "join_timeout": timedelta(seconds=60),
            "peer_timeout": timedelta(seconds=10),
            "drain_timeout": timedelta(seconds=25),
            "alias": None,
            "drop": None,
            "api": None,
            "progress": False,
            "log_level": None,
            "log_json": False,
        }

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("10", timedelta(seconds=10)),
            ("0.5", timedelta(milliseconds=500)),
            ("0", timedelta(0)),
            ("1e-6", timedelta(microseconds=1)),
        ],
    )
    def test_duration(self, text, expected):
        assert run._parse_timedelta(text) == expected
        assert run._parse_args(["f.py", "-s", text]).snapshot_interval == expected

    @pytest.mark.parametrize(
        "text", ["-1", "-0.001", "nan", "inf", "-inf", "1e300", ""]
    )
    def test_not_a_duration(self, text):
        with pytest.raises(argparse.ArgumentTypeError) as caught:
            run._parse_timedelta(text)
        assert str(caught.value) == (
            f"must be a number of seconds from 0 on; got {text!r}"
        )

    def test_variables(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_SNAPSHOT_INTERVAL", "2.5")
        monkeypatch.setenv("MILLSTREAM_WORKERS_PER_PROCESS", "3")
        args = run._parse_args(["flow.py"])
        assert args.snapshot_interval == timedelta(seconds=2.5)
        assert args.workers_per_process == 3

    def test_option_wins_over_its_variable(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_SNAPSHOT_INTERVAL", "not a number")
        monkeypatch.setenv("MILLSTREAM_WORKERS_PER_PROCESS", "3")
        args = run._parse_args(["flow.py", "-s", "4", "-w", "2"])
        assert args.snapshot_interval == timedelta(seconds=4)
        assert args.workers_per_process == 2

    def test_empty_variable_counts_as_not_set(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_WORKERS_PER_PROCESS", "")
        monkeypatch.setenv("MILLSTREAM_ADDRESSES", "")
        args = run._parse_args(["flow.py"])
        assert args.workers_per_process == 1
        assert args.addresses is None

    def test_wrong_variable_is_named(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_WORKERS_PER_PROCESS", "many")
        assert usage_error(run._parse_args, ["flow.py"]) == (
            "argument -w/--workers-per-process: must be a whole number from 1 to 1024; "
            "got 'many' from `MILLSTREAM_WORKERS_PER_PROCESS`"
        )

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            ([], "the following arguments are required: import_string; see `--help`"),
            (["f", "--fast"], "unrecognized arguments: --fast"),
            (["f", "-w"], "argument -w/--workers-per-process: expected one argument"),
            *[
                (
                    ["f", "-w", count],
                    (
                        "argument -w/--workers-per-process: must be a whole number "
                        f"from 1 to 1024; got '{count}'"
                    ),
                )
                for count in ("0", "-1", "2.5", "two", "1025", "9" * 5000)
            ],
            (
                ["f", "-s", "soon"],
                (
                    "argument -s/--snapshot-interval: must be a number of seconds "
                    "from 0 on; got 'soon'"
                ),
            ),
            (
                ["f", "-b", "-3"],
                (
                    "argument -b/--backup-interval: must be a number of seconds from "
                    "0 on; got '-3'"
                ),
            ),
            (
                ["f", "-i", "-1"],
                "argument -i/--process-id: must be a whole number from 0 on; got '-1'",
            ),
            *[
                (
                    ["f", "-i", "0", "-a", addresses],
                    (
                        "argument -a/--addresses: must be `host:port` addresses with "
                        f"`;` between them; got '{addresses}'"
                    ),
                )
                for addresses in ("", ";", "host", ":1", "host:x", "host:0", "h:65536")
            ],
            (
                ["f", "-i", "0"],
                (
                    "process id 0 needs the addresses of all processes: give "
                    "`-a/--addresses`, `MILLSTREAM_ADDRESSES` or "
                    "`MILLSTREAM_HOSTFILE_PATH`"
                ),
            ),
            (
                ["f", "-i", "2", "-a", "a:1;b:2"],
                "process id 2 is not that of an address: 2 given, counted from 0",
            ),
        ],
    )
    def test_wrong_option(self, argv, message):
        assert usage_error(run._parse_args, argv) == message


class TestCluster:
    @pytest.mark.parametrize(
        ("text", "addresses"),
        [
            ("[::1]:2101", ["[::1]:2101"]),
            ("a:2101; unix:/run/b;", ["a:2101", "unix:/run/b"]),
        ],
    )
    def test_addresses_option(self, text, addresses):
        args = run._parse_args(["flow.py", "-i", "0", "-a", text])
        assert (args.process_id, args.addresses) == (0, addresses)

    def test_addresses_need_a_process(self):
        assert usage_error(run._parse_args, ["flow.py", "-a", "a:1;b:1"]) == (
            "2 addresses need to know which of them is this process: give "
            "`-i/--process-id` or `MILLSTREAM_PROCESS_ID`"
        )

    def test_addresses_variables(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_PROCESS_ID", "1")
        monkeypatch.setenv("MILLSTREAM_ADDRESSES", "a:2101;b:2101")
        args = run._parse_args(["flow.py"])
        assert (args.process_id, args.addresses) == (1, ["a:2101", "b:2101"])

    def test_processes_are_of_one_host(self):
        options = ["-p", "2", "-i", "0", "-a", "a:1;b:1"]
        assert usage_error(run._parse_args, ["flow.py", *options]) == (
            "`-p/--processes` starts processes on this host; on several hosts, start "
            "each with `-i/--process-id` and `-a/--addresses`"
        )

    def test_either_a_secret_or_certificates(self):
        options = ["--secret-file", "secret", "--tls", "certificates"]
        assert usage_error(run._parse_args, ["flow.py", *options]) == (
            "give either `--secret-file` or `--tls`, and not both"
        )

    def test_child_does_not_start_processes(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_LAUNCHED", "1")
        monkeypatch.setenv("MILLSTREAM_PROCESS_ID", "0")
        monkeypatch.setenv("MILLSTREAM_ADDRESSES", "unix:/a;unix:/b")
        args = run._parse_args(["flow.py", "-p", "2", "--restart", "1", "-r", "store"])
        assert args.processes is None
        assert args.restart == 0

    def test_pod_and_host_file(self, monkeypatch, tmp_path):
        hosts = tmp_path / "hosts"
        hosts.write_text("a:2101\nb:2101\n", "utf-8")
        monkeypatch.setenv("MILLSTREAM_HOSTFILE_PATH", str(hosts))
        monkeypatch.setenv("MILLSTREAM_POD_NAME", "my-flow-1")
        monkeypatch.setenv("MILLSTREAM_STATEFULSET_NAME", "my-flow")
        args = run._parse_args(["flow.py"])
        assert (args.process_id, args.addresses) == (1, ["a:2101", "b:2101"])

        monkeypatch.setenv("MILLSTREAM_POD_NAME", "my-flow-2")
        assert usage_error(run._parse_args, ["flow.py"]) == (
            "process id 2 is not that of an address: 2 given, counted from 0"
        )

    def test_host_file_without_a_process_id_is_not_read(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_HOSTFILE_PATH", "/no/such/file")
        assert run._parse_args(["flow.py"]).addresses is None


class TestClusterVariables:
    @pytest.mark.parametrize("pod", ["other-1", "my-flow-", "my-flow-x", "my-flow"])
    def test_pod_of_another_stateful_set(self, monkeypatch, pod):
        monkeypatch.setenv("MILLSTREAM_POD_NAME", pod)
        monkeypatch.setenv("MILLSTREAM_STATEFULSET_NAME", "my-flow")
        assert usage_error(run._parse_args, ["flow.py"]) == (
            "can't tell the process id from `MILLSTREAM_POD_NAME`: a pod of "
            "`my-flow`, as `MILLSTREAM_STATEFULSET_NAME` says, is named `my-flow-0` "
            f"and so on; got '{pod}'"
        )

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (None, "No such file or directory"),
            (b"", "it must have a `host:port` address in each line"),
            (b"a:1\nb\n", "it must have a `host:port` address in each line"),
            (b"\xff\xfe", "it must have a `host:port` address in each line"),
        ],
    )
    def test_bad_host_file(self, monkeypatch, tmp_path, content, reason):
        hosts = tmp_path / "hosts"
        if content is not None:
            hosts.write_bytes(content)
        monkeypatch.setenv("MILLSTREAM_HOSTFILE_PATH", str(hosts))
        assert usage_error(run._parse_args, ["flow.py", "-i", "0"]) == (
            f"can't read the host file `{hosts}`, which `MILLSTREAM_HOSTFILE_PATH` "
            f"names: {reason}"
        )


def started(*args, **kwargs):
    """A process of the command line, which is gone at the end of the block."""
    return processes.started("-m", "millstream.run", *args, **kwargs)


def finished(*args, **kwargs):
    """The exit code, standard output and standard error of the command line."""
    return processes.finished("-m", "millstream.run", *args, **kwargs)


COUNTING = """
    import millstream.operators as op
    from millstream.connectors.stdio import StdOutSink
    from millstream.dataflow import Dataflow
    from millstream.testing import TestingSource

    WORDS = "the cat and the dog and the bird".split()

    def get_flow(times=1):
        flow = Dataflow("counting")
        words = op.input("words", flow, TestingSource(WORDS * times, batch_size=3))
        counts = op.count_final("count", words, lambda word: word)
        op.output("out", counts, StdOutSink())
        return flow

    flow = get_flow()
"""

COUNTS = Counter(the=3, cat=1, dog=1, bird=1) + Counter({"and": 2})

FAILING = """
    import millstream.operators as op
    from millstream.connectors.stdio import StdOutSink
    from millstream.dataflow import Dataflow
    from millstream.testing import TestingSource

    def explode(number):
        raise ValueError(f"no luck with {number}")

    flow = Dataflow("failing")
    numbers = op.input("numbers", flow, TestingSource(range(3)))
    exploded = op.map("explode", numbers, explode)
    op.output("out", exploded, StdOutSink())
"""

ENDLESS = """
    import itertools

    import millstream.operators as op
    from millstream.connectors.stdio import StdOutSink
    from millstream.dataflow import Dataflow
    from millstream.testing import TestingSource

    flow = Dataflow("endless")
    numbers = op.input("numbers", flow, TestingSource(itertools.count()))
    op.output("out", numbers, StdOutSink())
"""


ASLEEP = """
    import time

    import millstream.operators as op
    from millstream.connectors.stdio import StdOutSink
    from millstream.dataflow import Dataflow
    from millstream.testing import TestingSource

    def sleep(number):
        print("asleep", flush=True)
        print("said before", end="")
        time.sleep(60)

    flow = Dataflow("asleep")
    numbers = op.input("numbers", flow, TestingSource([1]))
    op.output("out", op.map("sleep", numbers, sleep), StdOutSink())
"""


def failing_with(statement):
    return FAILING.replace('raise ValueError(f"no luck with {number}")', statement)


class TestCommand:
    @pytest.mark.parametrize("workers", ["1", "2", "3"])
    def test_same_results_with_any_number_of_workers(self, write, tmp_path, workers):
        write("counting.py", COUNTING)
        code, out, err = finished("counting", "-w", workers, folder=tmp_path)
        expected = sorted(str(pair) for pair in COUNTS.items())
        assert (code, sorted(out.splitlines()), err) == (0, expected, "")

    def test_variables(self, write, tmp_path):
        write("counting.py", COUNTING)
        code, out, err = finished(
            "counting.py",
            folder=tmp_path,
            MILLSTREAM_WORKERS_PER_PROCESS="2",
            MILLSTREAM_SNAPSHOT_INTERVAL="0.5",
        )
        assert (code, len(out.splitlines()), err) == (0, len(COUNTS), "")

    def test_function_of_a_module_in_a_package(self, write, tmp_path):
        write("package/__init__.py")
        write("package/counting.py", COUNTING)
        code, out, err = finished(
            "package.counting:get_flow(10)", "-s", "0", folder=tmp_path
        )
        expected = sorted(str((word, n * 10)) for word, n in COUNTS.items())
        assert (code, sorted(out.splitlines()), err) == (0, expected, "")

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ([], "the following arguments are required: import_string; see `--help`"),
            (
                ["counting", "-w", "0"],
                (
                    "argument -w/--workers-per-process: must be a whole number from 1 "
                    "to 1024; got '0'"
                ),
            ),
            *[
                (
                    ["counting", "-w", count],
                    (
                        "argument -w/--workers-per-process: must be a whole number "
                        f"from 1 to 1024; got '{count}'"
                    ),
                )
                for count in ("1025", "9" * 30)
            ],
            (
                ["counting", "-i", "2", "-a", "a:2101;b:2101"],
                "process id 2 is not that of an address: 2 given, counted from 0",
            ),
            (
                ["nowhere.py"],
                "can't find a dataflow in `nowhere.py`: there is no such file",
            ),
            (
                ["counting:other"],
                (
                    "module `counting` has no attribute `other`; its dataflows are "
                    "`counting:flow`"
                ),
            ),
            (
                ["counting:WORDS"],
                "`counting:WORDS` is not a `Dataflow` but a `list`",
            ),
            (
                ["counting:get_flow(1, 2)"],
                "can't call `counting:get_flow(1, 2)`: too many positional arguments",
            ),
        ],
    )
    def test_mistake_in_calling_gets_one_sentence(self, write, tmp_path, args, message):
        write("counting.py", COUNTING)
        assert finished(*args, folder=tmp_path) == (64, "", f"millstream: {message}\n")

    @pytest.mark.parametrize("workers", ["1", "2"])
    @pytest.mark.parametrize(
        ("steps", "message"),
        [
            (
                "",
                (
                    "dataflow `half` has no input step, so it would have nothing to "
                    "do; add one with `millstream.operators.input`"
                ),
            ),
            (
                'op.input("inp", flow, TestingSource([]))',
                (
                    "dataflow `half` has no output or inspect step, so nobody would "
                    "see its results; add one with `millstream.operators.output`"
                ),
            ),
        ],
    )
    def test_flow_that_cannot_run_gets_one_sentence(
        self, write, tmp_path, workers, steps, message
    ):
        write(
            "half.py",
            f"""
            import millstream.operators as op
            from millstream.dataflow import Dataflow
            from millstream.testing import TestingSource

            flow = Dataflow("half")
            {steps}
            """,
        )
        ended = finished("half", "-w", workers, folder=tmp_path)
        assert ended == (64, "", f"millstream: {message}\n")

    def test_help(self, tmp_path):
        code, out, err = finished("--help", folder=tmp_path)
        assert (code, err) == (0, "")
        assert out.startswith("usage: python -m millstream.run ")
        assert "MILLSTREAM_WORKERS_PER_PROCESS" in out

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_user_code_that_raises(self, write, tmp_path, workers):
        file = write("failing.py", FAILING)
        code, out, err = finished("failing.py", "-w", workers, folder=tmp_path)
        assert (code, out) == (70, "")
        assert re.fullmatch(
            r"Traceback \(most recent call last\):\n"
            r"(  .*\n)*"
            rf'  File "{re.escape(str(file))}", line 8, in explode\n'
            r'    raise ValueError\(f"no luck with \{number\}"\)\n'
            r"ValueError: no luck with 0\n"
            r"\n"
            r"The above exception was the direct cause of the following exception:\n"
            r"\n"
            r"millstream\.errors\.MillstreamRuntimeError: .*failing\.explode.*\n",
            err,
        ), err
        assert err.count("MillstreamRuntimeError") == 1
        for of_the_engine in (".rs", "panicked", "Rust"):
            assert of_the_engine not in err

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_user_code_that_raises_what_is_no_exception(self, write, tmp_path, workers):
        write(
            "cancelled.py",
            failing_with('import asyncio; raise asyncio.CancelledError("cancelled")'),
        )
        code, out, err = finished("cancelled.py", "-w", workers, folder=tmp_path)
        assert (code, out) == (70, "")
        assert "\nasyncio.exceptions.CancelledError: cancelled\n" in err
        assert err.count("MillstreamRuntimeError") == 1

    def test_module_that_raises_what_is_no_exception(self, write, tmp_path):
        write("cancelled.py", "import asyncio\nraise asyncio.CancelledError\n")
        code, out, err = finished("cancelled.py", folder=tmp_path)
        assert (code, out) == (70, "")
        assert err.endswith("\nasyncio.exceptions.CancelledError\n")

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_error_that_is_its_own_cause(self, write, tmp_path, workers):
        write(
            "circular.py",
            failing_with('error = ValueError("no luck"); raise error from error'),
        )
        code, out, err = finished("circular.py", "-w", workers, folder=tmp_path)
        assert (code, out) == (70, "")
        assert "\nValueError: no luck\n" in err

    def test_errors_that_are_causes_of_each_other(self, write, tmp_path):
        write(
            "circular.py",
            """
            first, second = ValueError("first"), ValueError("second")
            first.__cause__ = second
            raise second from first
            """,
        )
        code, out, err = finished("circular.py", folder=tmp_path)
        assert (code, out) == (70, "")
        assert err.endswith("\nValueError: second\n")

    def test_module_that_raises(self, write, tmp_path):
        file = write("broken.py", "values = []\nflow = values[3]\n")
        assert finished("broken", folder=tmp_path) == (
            70,
            "",
            (
                "Traceback (most recent call last):\n"
                f'  File "{file}", line 2, in <module>\n'
                "    flow = values[3]\n"
                f"{carets('           ~~~~~~^^^')}"
                "IndexError: list index out of range\n"
            ),
        )

    def test_module_that_misses_another(self, write, tmp_path):
        file = write("needs_more.py", "import not_installed_anywhere\n")
        assert finished("needs_more", folder=tmp_path) == (
            70,
            "",
            (
                "Traceback (most recent call last):\n"
                f'  File "{file}", line 1, in <module>\n'
                "    import not_installed_anywhere\n"
                "ModuleNotFoundError: No module named 'not_installed_anywhere'\n"
            ),
        )

    def test_module_with_a_syntax_error(self, write, tmp_path):
        file = write("unfinished.py", "flow = (\n")
        code, out, err = finished("unfinished", folder=tmp_path)
        assert (code, out) == (70, "")
        assert err.startswith(f'  File "{file}", line 1\n    flow = (\n')
        assert err.endswith("SyntaxError: '(' was never closed\n")

    def test_module_that_exits(self, write, tmp_path):
        write("exits.py", "import sys\nsys.exit(3)\n")
        assert finished("exits", folder=tmp_path) == (3, "", "")

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_interrupt(self, write, tmp_path, workers):
        write("endless.py", ENDLESS)
        with started("endless.py", "-w", workers, folder=tmp_path) as process:
            assert process.stdout.readline() == "0\n"
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=TIMEOUT)
            assert err == "millstream: interrupted (KeyboardInterrupt)\n"
            assert process.returncode == 130

    def test_second_interrupt_does_not_wait_for_user_code(self, write, tmp_path):
        write("asleep.py", ASLEEP)
        with started("asleep.py", "-w", "2", folder=tmp_path) as process:
            assert process.stdout.readline() == "asleep\n"
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=10)
            assert process.returncode == 130
            assert out == "said before"
            assert err == "millstream: interrupted (KeyboardInterrupt)\n"

    def test_second_interrupt_does_not_wait_for_standard_output(self, write, tmp_path):
        write("stuck.py", ASLEEP.replace("time.sleep(60)", 'print("x" * 10_000_000)'))
        with started("stuck.py", "-w", "2", folder=tmp_path) as process:
            assert process.stdout.readline() == "asleep\n"
            process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130

    def test_interrupt_that_is_ignored_stays_so(self, write, tmp_path):
        write("counting.py", COUNTING)
        write(
            "ignores.py",
            """
            import os
            import signal

            from counting import flow

            os.kill(os.getpid(), signal.SIGINT)
            """,
        )
        ignoring = (
            "import os, runpy, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
            "runpy.run_module('millstream.run', run_name='__main__', alter_sys=True)"
        )
        code, out, err = processes.finished("-c", ignoring, "ignores", folder=tmp_path)
        assert (code, len(out.splitlines()), err) == (0, len(COUNTS), "")

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_nobody_reads_the_output_any_more(self, write, tmp_path, workers):
        write("endless.py", ENDLESS)
        with started("endless.py", "-w", workers, folder=tmp_path) as process:
            assert process.stdout.readline() == "0\n"
            process.stdout.close()
            assert process.wait(TIMEOUT) == 141
            assert process.stderr.read() == ""

    def test_broken_pipe_that_is_not_standard_output(self, write, tmp_path):
        write("pipe.py", 'raise BrokenPipeError("of something else")\n')
        code, out, err = finished("pipe", folder=tmp_path)
        assert (code, out) == (70, "")
        assert err.endswith("BrokenPipeError: of something else\n")

    def test_output_is_written_before_a_traceback(self, write, tmp_path):
        write("prints.py", 'print("before")\nraise ValueError("after")\n')
        code, out, err = finished("prints", folder=tmp_path)
        assert (code, out) == (70, "before\n")
        assert err.endswith("ValueError: after\n")

    def test_standard_output_that_takes_nothing(self, write, tmp_path):
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("there is no /dev/full here")
        write("counting.py", COUNTING)
        with (
            full.open("w", encoding="utf-8") as stdout,
            started("counting.py", folder=tmp_path, stdout=stdout) as process,
        ):
            _, err = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 70
        assert "No space left on device" in err


def carets(line):
    """The line of a traceback that points at the expression, from Python 3.11 on."""
    return f"{line}\n" if sys.version_info >= (3, 11) else ""
