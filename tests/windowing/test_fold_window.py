from datetime import timedelta
from functools import partial

import millstream.operators.windowing as win
import pytest


def keyed(*values):
    return [("a", each) for each in values]


def append(values, value):
    values.append(value)
    return values


def concatenate(values, others):
    return [*values, "|", *others]


@pytest.fixture
def fold(event_clock, tumbling):
    def fold(wait=0, windower=tumbling, **kwargs):
        return lambda up: win.fold_window(
            "step", up, event_clock(wait), windower, list, append, concatenate, **kwargs
        )

    return fold


@pytest.fixture
def collect(event_clock, tumbling):
    def collect(*args, wait=60, windower=tumbling, **kwargs):
        return lambda up: win.collect_window(
            "step", up, event_clock(wait), windower, *args, **kwargs
        )

    return collect


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_fold_emits_the_accumulator_of_each_window(run, fold, batch_size):
    items = [("b", 1), ("a", 12), ("b", 3), ("a", 14), ("b", 25), ("b", 2)]
    out = run(items, fold(), batch_size)
    assert out.down == [("a", (1, [12, 14])), ("b", (0, [1, 3])), ("b", (2, [25]))]
    assert out.late == [("b", (0, 2))]
    assert [(key, each[0]) for key, each in out.meta] == [("a", 1), ("b", 0), ("b", 2)]


def test_fold_is_in_order_unless_told_otherwise(run, fold):
    items = keyed(5, 3, 4)
    assert run(items, fold(wait=9)).down == keyed((0, [3, 4, 5]))
    assert run(items, fold(wait=9, ordered=False)).down == keyed((0, [5, 3, 4]))


def test_fold_merges_the_later_session_into_the_earlier_one(run, fold, session):
    items = keyed(60, 40, 20, 50, 30)
    out = run(items, fold(wait=99, windower=session, ordered=False))
    assert out.down == keyed((2, [20, 30, "|", 40, 50, "|", 60]))


def test_fold_may_have_none_for_a_state(run, driver, event_clock, tumbling):
    def folder(state, value):
        return None if value == 1 else (state, value)

    def add_steps(up):
        return win.fold_window(
            "step", up, event_clock(), tumbling, lambda: "new", folder, folder
        )

    assert run(keyed(1), add_steps).down == keyed((0, None))
    logic = driver(add_steps)
    logic.on_batch([1])
    resumed = driver(add_steps, logic.snapshot())
    resumed.on_batch([2])
    assert next(iter(resumed.on_eof()[0])) == ("down", 0, (None, 2))


def test_fold_keeps_its_snapshot(driver, fold):
    logic = driver(fold())
    logic.on_batch([1])
    state = logic.snapshot()
    logic.on_batch([2])
    assert state.key.windows == {0: ([1],)}


@pytest.mark.parametrize("role", ["builder", "folder", "merger"])
def test_the_error_of_a_function_is_the_cause(fail, event_clock, session, role):
    error = ZeroDivisionError("mine")

    def failing(*_args):
        raise error

    functions = {"builder": list, "folder": append, "merger": concatenate}
    functions[role] = failing

    def add_steps(up):
        return win.fold_window(
            "step", up, event_clock(wait=60), session, **functions, ordered=False
        ).down

    assert fail(keyed(20, 40, 30), add_steps) is error


def test_collect_into_a_list(run, collect):
    assert run(keyed(5, 3, 5, 12), collect()).down == keyed((0, [3, 5, 5]), (1, [12]))
    assert run(keyed(5, 3), collect(list, ordered=False)).down == keyed((0, [5, 3]))


def test_collect_into_a_set(run, collect):
    out = run(keyed(5, 3, 5, 12), collect(into=set))
    assert out.down == keyed((0, {3, 5}), (1, {12}))


def test_collect_into_a_dict(run, collect):
    items = keyed((5, "x"), (3, "x"), (5, "y"))
    out = run(items, collect(dict))
    assert out.down == keyed((0, {3: "x", 5: "y"}))
    assert list(out.down[0][1][1]) == [3, 5]


@pytest.mark.parametrize(
    ("into", "expected"),
    [
        (list, [(20, "x"), (30, "x"), (40, "x")]),
        (set, {(20, "x"), (30, "x"), (40, "x")}),
        (dict, {20: "x", 30: "x", 40: "x"}),
    ],
)
def test_collect_merges_sessions(run, collect, session, into, expected):
    add_steps = collect(into, windower=session, ordered=False)
    items = keyed((40, "x"), (20, "x"), (30, "x"))
    assert run(items, add_steps).down == keyed((1, expected))


@pytest.mark.parametrize("base", [list, set, dict])
def test_collect_into_a_derived_class_is_into_the_base(run, collect, base):
    class Derived(base):
        pass

    out = run(keyed((1, "x")), collect(Derived))
    assert type(out.down[0][1][1]) is base


@pytest.mark.parametrize(
    ("into", "got"),
    [
        (tuple, "`tuple`"),
        (frozenset, "`frozenset`"),
        (list.copy, "a `method_descriptor`"),
        ([], "a `list`"),
        (None, "a `NoneType`"),
    ],
)
def test_collect_refuses_other_containers(substep_ids, collect, into, got):
    with pytest.raises(TypeError) as raised:
        substep_ids(collect(into))
    assert str(raised.value) == (
        f"`into` of step `flow.step` must be `list`, `set` or `dict`; got {got}"
    )


@pytest.mark.parametrize(
    ("value", "got"), [(5, "an `int`"), ((5, 1, 2), "a `tuple` of length 3")]
)
def test_collect_into_a_dict_needs_pairs(fail, collect, value, got):
    cause = fail(keyed(value), lambda up: collect(dict)(up).down)
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "step `flow.step` collects into a `dict`, so each value must be a "
        f"`(key, value)` 2-tuple; got {got}"
    )


def test_count(run, event_clock, tumbling):
    out = run(
        [(1, "x"), (3, "y"), (12, "x"), (4, "x"), (14, "y"), (1, "y"), (5, "x")],
        lambda up: win.count_window(
            "step", up, event_clock(wait=10), tumbling, lambda item: item[1]
        ),
        batch_size=2,
    )
    assert out.down == [("x", (0, 3)), ("x", (1, 1)), ("y", (0, 1)), ("y", (1, 1))]
    assert out.late == [("y", (0, (1, "y")))]


def test_count_merges_sessions(run, event_clock, session):
    out = run(
        [40, 20, 30],
        lambda up: win.count_window(
            "step", up, event_clock(60), session, lambda _: "a"
        ),
    )
    assert out.down == keyed((1, 3))


def test_count_needs_string_keys(fail, event_clock, tumbling):
    def add_steps(up):
        return win.count_window("step", up, event_clock(), tumbling, lambda x: x).down

    cause = fail([1], add_steps)
    assert isinstance(cause, TypeError)
    assert str(cause).endswith(" in step `flow.step` must be a `str`; got an `int`")


@pytest.fixture
def reduce(event_clock, tumbling):
    def reduce(reducer, windower=tumbling):
        return lambda up: win.reduce_window(
            "step", up, event_clock(wait=60), windower, reducer
        )

    return reduce


def test_reduce_takes_values_as_they_arrive(run, reduce):
    out = run(keyed(5, 3, 4, 12), reduce(lambda x, y: (x, y)))
    assert out.down == keyed((0, ((5, 3), 4)), (1, 12))


def test_reduce_merges_sessions(run, reduce, session):
    out = run(keyed(60, 40, 20, 30), reduce(lambda x, y: (x, y), session))
    assert out.down == keyed((0, 60), (2, ((20, 30), 40)))


def test_reduce_takes_none_for_a_value(run, tumbling, at):
    clock = win.EventClock(lambda _: at(1), timedelta(), lambda: at(0))

    def add_steps(up):
        return win.reduce_window("step", up, clock, tumbling, lambda x, y: (x, y))

    assert run(keyed(None), add_steps).down == keyed((0, None))
    assert run(keyed(None, 1), add_steps).down == keyed((0, (None, 1)))
    assert run(keyed(1, None, 2), add_steps).down == keyed((0, ((1, None), 2)))


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (partial(win.max_window), (4, -3)),
        (partial(win.max_window, by=lambda value: value[1]), (3, 5)),
        (partial(win.min_window), (1, 0)),
        (partial(win.min_window, by=lambda value: value[1]), (4, -3)),
    ],
)
def test_max_and_min(run, event_clock, tumbling, choose, expected):
    out = run(
        keyed((3, 5), (1, 0), (4, -3), (14, 2)),
        lambda up: choose("step", up, event_clock(wait=60), tumbling),
    )
    assert out.down == keyed((0, expected), (1, (14, 2)))


@pytest.mark.parametrize("operator", [win.max_window, win.min_window])
def test_max_and_min_keep_the_first_of_equals(run, event_clock, tumbling, operator):
    out = run(
        keyed((3, "x"), (1, "y"), (4, "z")),
        lambda up: operator("step", up, event_clock(60), tumbling, by=lambda _: 0),
    )
    assert out.down == keyed((0, (3, "x")))


@pytest.mark.parametrize(
    ("add_steps", "expected"),
    [
        (
            lambda *args: win.fold_window("step", *args, list, append, concatenate),
            ["flow.step.window"],
        ),
        (
            lambda *args: win.collect_window("step", *args),
            ["flow.step.fold_window"],
        ),
        (
            lambda *args: win.count_window("step", *args, str),
            ["flow.step.keyed", "flow.step.sum"],
        ),
        (
            lambda *args: win.reduce_window("step", *args, max),
            ["flow.step.fold_window"],
        ),
        (
            lambda *args: win.max_window("step", *args),
            ["flow.step.reduce_window"],
        ),
        (
            lambda *args: win.min_window("step", *args),
            ["flow.step.reduce_window"],
        ),
    ],
)
def test_substeps(substep_ids, event_clock, tumbling, add_steps, expected):
    ids = substep_ids(lambda up: add_steps(up, event_clock(), tumbling))
    assert [each for each in ids if each.count(".") == 2] == expected
