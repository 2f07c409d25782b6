"""What the command lines have in common: types of arguments, and variables."""

from __future__ import annotations

import argparse

import pytest
from millstream import run
from millstream._arguments import (
    ArgumentParser,
    EnvDefault,
    parse_alias,
    parse_timedelta,
    whole_number,
)
from millstream._exit import UsageError

from tests.processes import finished


def parser():
    """A command with one option, which is a number."""
    parser = ArgumentParser(prog="command")
    parser.add_argument(
        "--size", action=EnvDefault, env="SIZE", type=whole_number(1, 3), help="how big"
    )
    return parser


def test_option_by_its_variable(monkeypatch):
    monkeypatch.setenv("SIZE", "2")
    assert parser().parse_args([]).size == 2
    assert parser().parse_args(["--size", "3"]).size == 3
    assert "how big [env: SIZE]" in parser().format_help()


def test_error_says_where_the_value_is_from(monkeypatch):
    expected = "argument --size: must be a whole number from 1 to 3; got '4'"
    with pytest.raises(UsageError) as raised:
        parser().parse_args(["--size", "4"])
    assert str(raised.value) == expected
    monkeypatch.setenv("SIZE", "4")
    with pytest.raises(UsageError) as raised:
        parser().parse_args([])
    assert str(raised.value) == f"{expected} from `SIZE`"


def test_whole_number_without_an_end():
    assert whole_number(0)("12345678901") == 12345678901
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        whole_number(0)("-1")
    assert str(raised.value) == "must be a whole number from 0 on; got '-1'"


@pytest.mark.parametrize("text", ["", "=", "old", "old=", "=new"])
def test_not_an_alias(text):
    with pytest.raises(argparse.ArgumentTypeError) as raised:
        parse_alias(text)
    assert str(raised.value) == f"must be `old=new`, full ids of steps; got {text!r}"


def test_names_of_the_peer():
    """Programs that were written for the peer take these from `run`."""
    assert run._EnvDefault is EnvDefault
    assert run._parse_timedelta is parse_timedelta
    for name in ("_locate_dataflow", "_prepare_import", "_parse_args"):
        assert callable(getattr(run, name))
    args = run._create_arg_parser().parse_args(["flow.py", "-s", "1"])
    assert args.import_str == "flow.py"


@pytest.mark.parametrize("count", ["0", "-1", "1025", str(2**40), "two"])
def test_certificates_for_a_count_that_cannot_be(tmp_path, count):
    ended = finished(
        "-m", "millstream.cluster", "init-tls", "tls", count, folder=tmp_path
    )
    message = f"must be a whole number from 1 to 1024; got '{count}'"
    assert ended == (64, "", f"millstream: argument COUNT: {message}\n")
    assert list(tmp_path.iterdir()) == []
