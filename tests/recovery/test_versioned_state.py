"""State whose class has changed since it was kept."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.recovery import (
    RecoveryConfig,
    RecoveryError,
    StateVersionError,
    VersionedState,
    init_db_dir,
)
from millstream.testing import TestingSink, TestingSource, run_main

START = datetime(2024, 1, 1, tzinfo=timezone.utc)


class Versions:
    """Classes of one name, one after the other, as edits of a module make them."""

    def __init__(self, monkeypatch):
        self.monkeypatch = monkeypatch

    def use(self, cls):
        cls.__qualname__ = "Clicks"
        self.monkeypatch.setattr(sys.modules[__name__], "Clicks", cls, raising=False)
        return cls


@pytest.fixture
def versions(monkeypatch):
    return Versions(monkeypatch)


@dataclass
class First(VersionedState):
    count: int = 0


@dataclass
class Second(VersionedState):
    STATE_VERSION = 2
    count: int = 0
    pages: tuple[str, ...] = ()

    @classmethod
    def migrate(cls, version, fields):
        assert version == 1
        return {**fields, "pages": ("?",) * fields["count"]}


@dataclass
class WithoutMigrate(VersionedState):
    STATE_VERSION = 2
    count: int = 0


@pytest.mark.parametrize("dumps", [pickle.dumps, lambda s: pickle.dumps(s, 0)])
def test_same_version_comes_back(versions, dumps):
    clicks = versions.use(First)(7)
    assert pickle.loads(dumps(clicks)) == clicks  # noqa: S301
    assert copy.deepcopy(clicks) == clicks


def test_older_version_is_migrated(versions):
    kept = pickle.dumps(["inside", versions.use(First)(2)])
    versions.use(Second)
    assert pickle.loads(kept) == ["inside", Second(2, ("?", "?"))]  # noqa: S301


def test_older_version_without_migrate_is_refused(versions):
    kept = pickle.dumps(versions.use(First)(2))
    versions.use(WithoutMigrate)
    with pytest.raises(StateVersionError) as raised:
        pickle.loads(kept)  # noqa: S301
    assert str(raised.value) == (
        "state of class `Clicks` was kept in version 1, and the class is of version 2; "
        "give it a `migrate`, or give the step a new name and drop the old one"
    )


def test_later_version_is_refused(versions):
    kept = pickle.dumps(versions.use(Second)(2))
    versions.use(First)
    with pytest.raises(StateVersionError) as raised:
        pickle.loads(kept)  # noqa: S301
    assert str(raised.value) == (
        "state of class `Clicks` was kept in version 2, and the class is of version 1; "
        "run the version of the dataflow that kept it, or a later one"
    )


def test_migrate_must_return_fields(versions):
    kept = pickle.dumps(versions.use(First)(2))

    class Wrong(Second):
        @classmethod
        def migrate(cls, _version, _fields):
            return [2]

    versions.use(Wrong)
    with pytest.raises(TypeError) as raised:
        pickle.loads(kept)  # noqa: S301
    assert str(raised.value) == (
        "`Clicks.migrate` must return a `dict` of fields; got [2]"
    )


class Slotted(VersionedState):
    __slots__ = ("__private", "public")

    def __init__(self, public, private):
        self.public, self.__private = public, private

    def values(self):
        return self.public, self.__private


@dataclass(frozen=True)
class Frozen(VersionedState):
    count: int


def _pickled(state):
    return pickle.loads(pickle.dumps(state))  # noqa: S301


@pytest.mark.parametrize("again", [copy.copy, _pickled])
def test_any_plain_class_will_do(again):
    assert again(Slotted(1, 2)).values() == (1, 2)
    assert again(Frozen(3)) == Frozen(3)


class Node(VersionedState):
    def __init__(self):
        self.itself = self


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _pickled])
def test_state_may_refer_to_itself(again):
    node = again(Node())
    assert isinstance(node.itself, Node)
    if again is not copy.copy:
        assert node.itself is node


@pytest.mark.parametrize("base", [list, dict, str, int])
def test_state_is_nothing_but_its_fields(base):
    with pytest.raises(TypeError) as raised:
        type("Odd", (VersionedState, base), {})
    assert str(raised.value) == (
        "`Odd` can't be a `VersionedState`, which is its fields and nothing else: have "
        "the `list`, `dict` or the like in a field"
    )


@pytest.mark.parametrize("method", ["__getstate__", "__setstate__", "__reduce__"])
def test_state_has_no_other_way_to_be_pickled(method):
    with pytest.raises(TypeError) as raised:
        type("Odd", (VersionedState,), {method: dict})
    assert str(raised.value) == (
        f"`Odd` can't be a `VersionedState` with a `{method}` of its own: its fields "
        "are kept by their names"
    )


def test_migrate_may_not_know_a_version(versions):
    kept = pickle.dumps(versions.use(First)(2))

    class Third(Second):
        STATE_VERSION = 3

        @classmethod
        def migrate(cls, version, fields):
            return super(Second, cls).migrate(version, fields)

    versions.use(Third)
    with pytest.raises(StateVersionError) as raised:
        pickle.loads(kept)  # noqa: S301
    assert "; let its `migrate` know that version, or give" in str(raised.value)


def count(clicks, page):
    cls = sys.modules[__name__].Clicks
    clicks = clicks or cls()
    clicks.count += 1
    if hasattr(clicks, "pages"):
        clicks.pages = (*clicks.pages, page)
    return clicks, seen_of(clicks)


def seen_of(clicks):
    return clicks.count, getattr(clicks, "pages", None)


def fold_into(clicks, value):
    return count(clicks, value[1])[0]


def map_step(keyed):
    return op.stateful_map("step", keyed, count)


def window_step(keyed):
    clock = win.EventClock(lambda value: value[0], timedelta(days=9), lambda: START)
    windower = win.TumblingWindower(timedelta(days=1), START)
    module = sys.modules[__name__]
    timed = op.map_value("timed", keyed, lambda page: (START, page))
    folded = win.fold_window(
        "step",
        timed,
        clock,
        windower,
        module.Clicks,
        fold_into,
        _not_merged,
        ordered=False,
    )
    return op.map_value("seen", folded.down, lambda window: seen_of(window[1]))


def _not_merged(_one, _other):
    raise AssertionError


PAGES = [("a", "x"), ("a", "y"), TestingSource.EOF(), ("a", "z")]


def run(step, store):
    out = []
    flow = Dataflow("flow")
    keyed = op.input("inp", flow, TestingSource(PAGES))
    op.output("out", step(keyed), TestingSink(out))
    run_main(flow, recovery_config=RecoveryConfig(store))
    return out


def test_step_goes_on_with_migrated_state(versions, tmp_path):
    init_db_dir(tmp_path, 1)
    versions.use(First)
    assert run(map_step, tmp_path) == [("a", (1, None)), ("a", (2, None))]
    versions.use(Second)
    assert run(map_step, tmp_path) == [("a", (3, ("?", "?", "z")))]


def test_windows_go_on_with_migrated_state(versions, tmp_path):
    init_db_dir(tmp_path, 1)
    versions.use(First)
    assert run(window_step, tmp_path) == [("a", (2, None))]
    versions.use(Second)
    assert run(window_step, tmp_path) == [("a", (3, ("?", "?", "z")))]


def test_step_does_not_start_with_state_that_it_cannot_read(versions, tmp_path):
    init_db_dir(tmp_path, 1)
    versions.use(First)
    run(map_step, tmp_path)
    versions.use(WithoutMigrate)
    for _ in range(2):
        with pytest.raises(RecoveryError) as raised:
            run(map_step, tmp_path)
        assert str(raised.value).startswith(
            "step `flow.step` failed while reading the state that was kept for key `a` "
            "on worker 0: state of class `Clicks` was kept in version 1, and the class"
        )
        assert raised.value.exit_code == 78
        assert isinstance(raised.value.__cause__, StateVersionError)
    # Nothing was lost.
    versions.use(Second)
    assert run(map_step, tmp_path) == [("a", (3, ("?", "?", "z")))]
