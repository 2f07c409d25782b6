"""The examples do what they say, from Python and from the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from pydoc_data.topics import topics

import fibonacci_pyo3
import millstream.operators as op
import pytest
from millstream.connectors.files import FileSource
from millstream.dataflow import Dataflow
from millstream.testing import TestingSink, TestingSource, cluster_main, run_main

from examples import running_average, wordcount
from examples.fibonacci import fibonacci
from examples.fibonacci import flow as fibonacci_flow

ROOT = Path(__file__).parent.parent


def python(*arguments, **environment):
    """Run Python in the repository's root, as a user would."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def error_of(done):
    """The sentence after argparse's usage."""
    assert done.returncode == 2
    assert done.stdout == ""
    return done.stderr.splitlines()[-1].partition(": error: ")[2]


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("The cat, the dog\nand the CAT's mat\n", encoding="utf-8")
    return path


def language_reference_words():
    return Counter(
        word for text in topics.values() for word in wordcount.words_of(text)
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("One TWO one", ["one", "two", "one"]),
        ("don't 'quote' it\u2019s", ["don't", "quote", "it\u2019s"]),
        ("the_answer = 42; x2", ["the", "answer", "x"]),
        ("Ärger, ¿qué? 日本", ["ärger", "qué", "日本"]),
    ],
)
def test_wordcount_splits_lines_into_words(line, words):
    assert wordcount.words_of(line) == words


@pytest.mark.parametrize("workers", [1, 2])
def test_wordcount_of_the_language_reference_equals_counter(workers):
    counts = []
    flow = Dataflow("wordcount")
    counted = wordcount.word_counts(flow, wordcount.TopicsSource())
    op.output("counts", counted, TestingSink(counts))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)

    expected = language_reference_words()
    assert expected["the"] > 1000
    assert sorted(counts) == sorted(expected.items())


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_wordcount_resumes_a_topic_where_it_was(monkeypatch, batch_size):
    monkeypatch.setattr(wordcount, "BATCH_SIZE", batch_size)
    monkeypatch.setitem(wordcount.topics, "short", "a\nb\nc\nd")
    source = wordcount.TopicsSource()
    first = source.build_part("step", "short", None)
    taken = first.next_batch()
    resumed = source.build_part("step", "short", first.snapshot())
    while len(taken) < 4:
        taken += resumed.next_batch()
    assert taken == ["a", "b", "c", "d"]
    with pytest.raises(StopIteration):
        resumed.next_batch()


def test_wordcount_source_is_the_file_if_there_is_one(text_file):
    assert isinstance(wordcount.text_source(text_file), FileSource)
    assert isinstance(wordcount.text_source(None), wordcount.TopicsSource)
    assert isinstance(wordcount.text_source(""), wordcount.TopicsSource)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_wordcount_runs_from_the_command_line(workers, text_file):
    done = python(
        *("-m", "millstream.run", "examples.wordcount", "-w", workers),
        MILLSTREAM_WORDCOUNT_FILE=str(text_file),
    )
    assert done.stderr == ""
    assert sorted(done.stdout.splitlines()) == [
        "and 1",
        "cat 1",
        "cat's 1",
        "dog 1",
        "mat 1",
        "the 3",
    ]
    assert done.returncode == 0


def test_wordcount_prints_the_most_frequent_words_of_a_file(text_file):
    done = python("examples/wordcount.py", text_file, "--top", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the  3\nand  1\ncat  1\n"


def test_wordcount_prints_the_most_frequent_words_of_the_language_reference():
    done = python("examples/wordcount.py", MILLSTREAM_WORDCOUNT_FILE="")
    assert (done.returncode, done.stderr) == (0, "")
    ranked = sorted(language_reference_words().items(), key=lambda e: (-e[1], e[0]))
    printed = [line.split() for line in done.stdout.splitlines()]
    assert printed == [[word, str(count)] for word, count in ranked[:20]]
    assert len({len(line) for line in done.stdout.splitlines()}) == 1


def test_wordcount_of_an_empty_file_prints_nothing(tmp_path):
    (tmp_path / "empty.txt").touch()
    done = python("examples/wordcount.py", tmp_path / "empty.txt")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_wordcount_names_a_missing_file(tmp_path):
    path = tmp_path / "missing.txt"
    done = python("examples/wordcount.py", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"wordcount: can't read `{path}`: there is no such file; check the path\n"
    )


def test_wordcount_names_a_directory(tmp_path):
    done = python("examples/wordcount.py", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"wordcount: can't read `{tmp_path}`: it is a directory, not a file\n"
    )


def test_wordcount_names_a_file_that_is_not_text(tmp_path):
    path = tmp_path / "binary"
    path.write_bytes(b"text\n\xff\n")
    done = python("examples/wordcount.py", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        rf"wordcount: can't decode `{re.escape(str(path))}` as `utf-8` at byte 5: .*\n",
        done.stderr,
    )


@pytest.mark.parametrize("top", ["0", "x", "2.5"])
def test_wordcount_refuses_a_bad_number_of_words(top):
    assert error_of(python("examples/wordcount.py", "--top", top)) == (
        f"argument --top: `{top}` is not a whole number of at least 1"
    )


@pytest.fixture
def proc(tmp_path):
    """The kernel's files of a machine with two cores, in clock ticks and kB."""
    (tmp_path / "stat").write_text(
        "cpu  0 0 0 0 0 0 0 0 0 0\n"
        "cpu0 100 0 100 750 50 0 0 0 0 0\n"
        "cpu1 500 0 0 500 0 0 0 0 500 0\n"
        "intr 1 2 3\n"
    )
    (tmp_path / "meminfo").write_text(
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nHugePages_Total: 0\n"
    )
    return tmp_path


def test_core_times_are_read_for_each_core(proc):
    assert running_average.core_times((proc / "stat").read_text()) == {
        "cpu0": running_average.CoreTime(idle=800, total=1000),
        "cpu1": running_average.CoreTime(idle=500, total=1000),
    }


def test_memory_in_use_is_what_is_not_available(proc):
    assert running_average.memory_percent((proc / "meminfo").read_text()) == 60


@pytest.mark.parametrize(
    ("idle", "total", "percent"),
    [
        (10, 100, 90.0),
        (100, 100, 0.0),
        (-1, 2, 100.0),
        (0, 0, None),
        (-5, -2, None),
    ],
)
def test_busy_percent_is_between_0_and_100(idle, total, percent):
    before = running_average.CoreTime(1000, 5000)
    now = running_average.CoreTime(1000 + idle, 5000 + total)
    assert running_average.busy_percent(before, now) == percent


def test_machine_partition_reports_what_has_changed_until_its_last_round(proc):
    source = running_average.MachineSource(timedelta(seconds=60), 2, proc)
    assert source.list_parts() == ["machine"]
    part = source.build_part("step", "machine", None)
    assert part.next_awake() is not None

    assert part.next_batch() == [("memory", 60.0)]

    stat = (proc / "stat").read_text().replace("cpu0 100 0", "cpu0 175 0")
    (proc / "stat").write_text(stat.replace("750", "775"))
    assert part.next_batch() == [("cpu0", 75.0), ("memory", 60.0)]

    assert part.next_awake() is None
    with pytest.raises(StopIteration):
        part.next_batch()


def test_machine_without_proc_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError,
        match=re.escape(
            "can't read the sensors of this machine: there is no "
            f"`{tmp_path / 'stat'}`; this example needs Linux"
        )
        + "$",
    ):
        running_average.MachineSource(proc=tmp_path).build_part("step", "machine", None)


@pytest.mark.parametrize("workers", [1, 2])
def test_running_average_is_kept_for_each_sensor(workers):
    readings = [("cpu0", 10.0), ("memory", 50.0), ("cpu0", 20.0), ("cpu0", 60.0)]
    averages = []
    flow = Dataflow("averages")
    averaged = running_average.running_averages(flow, TestingSource(readings))
    op.output("out", averaged, TestingSink(averages))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)

    assert [(each.last, each.mean) for key, each in averages if key == "cpu0"] == [
        (10.0, 10.0),
        (20.0, 15.0),
        (60.0, 30.0),
    ]
    assert [(each.last, each.mean) for key, each in averages if key == "memory"] == [
        (50.0, 50.0)
    ]


def test_running_average_stops_after_the_asked_rounds():
    done = python("examples/running_average.py", "--count", 3, "--interval", 0.05)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(
        re.fullmatch(r"(cpu\d+|memory) +\d+\.\d %   average +\d+\.\d %", line)
        for line in lines
    )
    assert sum(line.startswith("memory") for line in lines) == 3
    assert any(line.startswith("cpu0 ") for line in lines)


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_running_average_refuses_a_bad_interval(interval):
    done = python("examples/running_average.py", f"--interval={interval}")
    assert error_of(done) == (
        f"argument --interval: `{interval}` is not a number of seconds above 0"
    )


BOTH = pytest.mark.parametrize(
    "fib", [fibonacci.fib, fibonacci_pyo3.fib], ids=["Python", "Rust"]
)


@BOTH
def test_fib(fib):
    assert [fib(n) for n in range(11)] == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55]


@BOTH
def test_fib_of_a_negative_number_is_refused(fib):
    with pytest.raises(ValueError, match=r"^`n` must not be negative; got -1$"):
        fib(-1)


def test_fib_in_rust_of_35():
    assert fibonacci_pyo3.fib(35) == 9_227_465


@pytest.mark.parametrize("n", [94, 2**32, 10**30])
def test_fib_in_rust_that_does_not_fit_is_refused(n):
    with pytest.raises(
        OverflowError,
        match=rf"^fib\({n}\) does not fit in 64 bits; the largest `n` is 93$",
    ):
        fibonacci_pyo3.fib(n)


@pytest.mark.parametrize("n", [1.0, "1", None])
def test_fib_in_rust_takes_integers_only(n):
    with pytest.raises(TypeError, match="is not an instance of 'int'"):
        fibonacci_pyo3.fib(n)


def test_fibonacci_program_in_python():
    done = python("examples/fibonacci/fibonacci.py", 20)
    assert (done.returncode, done.stdout) == (0, "6765\n")
    assert error_of(python("examples/fibonacci/fibonacci.py", -1)) == (
        "`n` must not be negative; got -1"
    )


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_fibonacci_flow_computes_each_number_twice(workers):
    results = []
    flow = Dataflow("fibonacci")
    computed = fibonacci_flow.computed_twice(flow, TestingSource(range(13)))
    op.output("out", computed, TestingSink(results))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert sorted(results) == sorted(
        (str(n), (fibonacci.fib(n), fibonacci.fib(n))) for n in range(13)
    )


def test_fibonacci_flow_prints_each_number(capsys):
    run_main(fibonacci_flow.flow)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21
    assert lines[-1] == "fib(20) = 6765 in Python and in Rust"


def test_fibonacci_flow_stops_where_the_results_differ():
    with pytest.raises(ValueError, match=r"^fib\(7\) is 13 in Python and 14 in Rust$"):
        fibonacci_flow.as_line(("7", (13, 14)))
