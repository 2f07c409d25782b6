from datetime import timedelta

import millstream.operators.aggregators as agg
import millstream.operators.windowing as win
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# The fixtures that run a flow build it anew each time.
with_fixtures = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def keyed(*values):
    return [("a", each) for each in values]


def number_of(value):
    """What is aggregated of values, which begin with their timestamp."""
    return value[1]


ALL = {
    "n": agg.count(),
    "sum": agg.sum(by=number_of),
    "mean": agg.mean(by=number_of),
    "min": agg.min(by=number_of),
    "max": agg.max(by=number_of),
    "first": agg.first(by=number_of),
    "last": agg.last(by=number_of),
    "first_value": agg.first(),
    "last_value": agg.last(),
}


def aggregated(values):
    """The reference: what `ALL` must make of a list of all values in a window."""
    numbers = [number_of(value) for value in values]
    total = numbers[0]
    for number in numbers[1:]:
        total = total + number
    return {
        "n": len(numbers),
        "sum": total,
        "mean": total / len(numbers),
        "min": min(numbers),
        "max": max(numbers),
        "first": numbers[0],
        "last": numbers[-1],
        "first_value": values[0],
        "last_value": values[-1],
    }


@pytest.fixture
def aggregate(event_clock, tumbling):
    def aggregate(aggregators=ALL, wait=60, windower=tumbling, **kwargs):
        return lambda up: win.aggregate_window(
            "step", up, event_clock(wait), windower, aggregators, **kwargs
        )

    return aggregate


@pytest.fixture
def collect(event_clock):
    def collect(wait, windower, ordered):
        return lambda up: win.collect_window(
            "step", up, event_clock(wait), windower, ordered=ordered
        )

    return collect


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_emits_the_results_of_each_window(run, aggregate, at, batch_size):
    items = [("b", 1), ("a", 12), ("b", 3), ("a", 14), ("b", 25), ("b", 2)]
    aggregators = {"n": agg.count(), "mean": agg.mean()}
    out = run(items, aggregate(aggregators, wait=0), batch_size)
    assert out.down == [
        ("a", (1, {"n": 2, "mean": 13.0})),
        ("b", (0, {"n": 2, "mean": 2.0})),
        ("b", (2, {"n": 1, "mean": 25.0})),
    ]
    assert out.late == [("b", (0, 2))]
    assert out.meta == [
        ("a", (1, win.WindowMetadata(at(10), at(20)))),
        ("b", (0, win.WindowMetadata(at(0), at(10)))),
        ("b", (2, win.WindowMetadata(at(20), at(30)))),
    ]


def test_results_are_in_the_order_of_the_aggregators(run, aggregate):
    aggregators = {"z": agg.last(), "a": agg.count(), "m": agg.first()}
    [(_, (_, results))] = run(keyed(1, 2), aggregate(aggregators)).down
    assert list(results.items()) == [("z", 2), ("a", 2), ("m", 1)]


def test_first_and_last_are_by_timestamp_unless_told_otherwise(run, aggregate):
    ends = {"first": agg.first(), "last": agg.last()}
    items = keyed(5, 3, 7, 4)
    assert run(items, aggregate(ends)).down == keyed((0, {"first": 3, "last": 7}))
    assert run(items, aggregate(ends, ordered=False)).down == keyed(
        (0, {"first": 5, "last": 4})
    )


def test_of_equals_the_first_by_timestamp_stays(run, aggregate):
    extremes = {"min": agg.min(by=number_of), "max": agg.max(by=number_of)}
    items = keyed((3, 1.0), (1, True), (2, 1))
    for ordered, expected in [(True, "True"), (False, "1.0")]:
        out = run(items, aggregate(extremes, ordered=ordered))
        assert repr(out.down) == (
            f"[('a', (0, {{'min': {expected}, 'max': {expected}}}))]"
        )


def test_floats_are_added_by_timestamp_unless_told_otherwise(run, aggregate):
    sums = {"sum": agg.sum(by=number_of)}
    items = keyed((3, 1e16), (1, 1.0), (2, 1.0))
    assert run(items, aggregate(sums)).down == keyed((0, {"sum": 1e16 + 2}))
    assert run(items, aggregate(sums, ordered=False)).down == keyed((0, {"sum": 1e16}))


def test_the_same_function_is_called_once_for_a_value(run, aggregate):
    seen = []

    def by(value):
        seen.append(value)
        return value

    run(
        keyed(1, 2),
        aggregate({"n": agg.count(), "min": agg.min(by), "max": agg.max(by)}),
    )
    assert seen == [1, 2]


def test_merges_the_later_session_into_the_earlier_one(run, aggregate, session):
    items = keyed((60, 6), (40, 4), (20, 2), (50, 5), (30, 3))
    out = run(items, aggregate(windower=session, ordered=False))
    values = [(20, 2), (30, 3), (40, 4), (50, 5), (60, 6)]
    assert out.down == keyed((2, aggregated(values)))


def test_of_equals_the_one_in_the_earlier_session_stays(run, aggregate, session):
    extremes = {"min": agg.min(by=number_of), "max": agg.max(by=number_of)}
    items = keyed((40, 1.0), (20, True), (30, 1))
    out = run(items, aggregate(extremes, windower=session, ordered=False))
    assert repr(out.down) == "[('a', (1, {'min': True, 'max': True}))]"


def test_merging_does_not_change_values(run, aggregate, session):
    items = keyed((40, [4]), (20, [2]), (30, [3]))
    sums = {"sum": agg.sum(by=number_of), "first": agg.first(by=number_of)}
    out = run(items, aggregate(sums, windower=session, ordered=False))
    assert out.down == keyed((1, {"sum": [2, 3, 4], "first": [2]}))
    assert items == keyed((40, [4]), (20, [2]), (30, [3]))


ints = st.one_of(st.integers(-9, 9), st.integers(-(2**70), 2**70))
decimals = st.decimals(-(10**9), 10**9, places=3)
numbers = {
    "ints": ints,
    "floats": st.floats(),
    "ints and floats": st.one_of(ints, st.floats()),
    "decimals": decimals,
}
# What can be added in any order: merging changes the order.
exact_numbers = {
    "ints": ints,
    "floats": st.integers(-(2**40), 2**40).map(lambda n: n / 4),
    "ints and floats": st.integers(-(2**40), 2**40).flatmap(
        lambda n: st.sampled_from([n, n / 4])
    ),
    "decimals": decimals,
}
windowers = {
    "tumbling": lambda at: win.TumblingWindower(timedelta(seconds=10), at(0)),
    "sliding": lambda at: win.SlidingWindower(
        timedelta(seconds=10), timedelta(seconds=4), at(0)
    ),
    "session": lambda _at: win.SessionWindower(timedelta(seconds=3)),
}


@pytest.mark.parametrize("windower", windowers.values(), ids=windowers)
@pytest.mark.parametrize("ordered", [True, False])
@with_fixtures
@given(data=st.data())
def test_agrees_with_lists_of_the_values(  # noqa: PLR0917
    run, aggregate, collect, at, windower, ordered, data
):
    kind = data.draw(st.sampled_from(list(numbers)))
    merges = not ordered and windower is windowers["session"]
    value = st.tuples(
        st.integers(-20, 60), (exact_numbers if merges else numbers)[kind]
    )
    items = data.draw(st.lists(st.tuples(st.sampled_from("ab"), value), max_size=20))
    batch_size = data.draw(st.integers(1, 21))
    wait = data.draw(st.sampled_from([0, 9, timedelta.max]))
    windower = windower(at)

    lists = run(items, collect(wait, windower, ordered), batch_size)
    out = run(
        items, aggregate(wait=wait, windower=windower, ordered=ordered), batch_size
    )
    expected = [
        (key, (window_id, aggregated(values)))
        for key, (window_id, values) in lists.down
    ]

    # How many batches reach a worker at once decides whether windows close in one turn,
    # in the order in which they opened, or in several.
    def in_order(results):
        return sorted(results, key=lambda result: (result[0], result[1][0]))

    # By their text: 1 and 1.0 are different, and nan is nan.
    assert repr(in_order(out.down)) == repr(in_order(expected))
    assert repr(out.late) == repr(lists.late)
    assert in_order(out.meta) == in_order(lists.meta)


class OneWindowLogic(win.WindowerLogic):
    """A window for all values."""

    def __init__(self, at):
        self.at = at
        self.is_open = False

    def open_for(self, timestamp):  # noqa: ARG002
        self.is_open = True
        return [7]

    def late_for(self, timestamp):  # noqa: ARG002
        return [7]

    def merged(self):
        return []

    def close_for(self, watermark):
        if not self.is_open or watermark < win.UTC_MAX:
            return []
        self.is_open = False
        return [(7, win.WindowMetadata(self.at(0), self.at(99)))]

    def notify_at(self):
        return None

    def is_empty(self):
        return not self.is_open

    def snapshot(self):
        return self.is_open


@pytest.fixture
def one_window(at):
    class OneWindow(win.Windower):
        def build(self, resume_state):  # noqa: ARG002
            return OneWindowLogic(at)

    return OneWindow()


def test_windows_may_be_of_any_windower(run, aggregate, one_window):
    values = [(50, 5), (1, 1), (99, 3)]
    out = run(keyed(*values), aggregate(windower=one_window))
    assert out.down == keyed((7, aggregated(sorted(values))))


@pytest.mark.parametrize("windower", ["tumbling", "session"])
def test_resumes_from_a_snapshot_that_does_not_change(
    driver, aggregate, tumbling, session, windower
):
    add_steps = aggregate(
        wait=0, windower={"tumbling": tumbling, "session": session}[windower]
    )
    logic = driver(add_steps)
    logic.on_batch([(1, 5), (2, 3)])
    state = logic.snapshot()
    logic.on_batch([(3, 100)])

    resumed = driver(add_steps, state)
    resumed.on_batch([(4, 2)])
    [(_, window_id, folded), *_] = resumed.on_eof()[0]
    again = driver(add_steps)
    again.on_batch([(1, 5), (2, 3), (4, 2)])
    assert again.on_eof()[0][0] == ("down", window_id, folded)


def test_the_error_of_by_is_the_cause(fail, aggregate):
    error = ZeroDivisionError("mine")

    def by(_value):
        raise error

    assert fail(keyed(1), lambda up: aggregate({"max": agg.max(by)})(up).down) is error


@pytest.mark.parametrize(
    ("values", "aggregator", "message"),
    [
        (
            [(1, 1), (2, "x")],
            agg.sum(by=number_of),
            "unsupported operand type(s) for +: 'int' and 'str'",
        ),
        (
            [(1, "x")],
            agg.mean(by=number_of),
            "unsupported operand type(s) for /: 'str' and 'int'",
        ),
        (
            [(1, 1), (2, None)],
            agg.max(by=number_of),
            "'>' not supported between instances of 'NoneType' and 'int'",
        ),
    ],
)
def test_what_can_not_be_aggregated(fail, aggregate, values, aggregator, message):
    cause = fail(keyed(*values), lambda up: aggregate({"x": aggregator})(up).down)
    assert isinstance(cause, TypeError)
    assert str(cause) == message


def test_what_can_not_be_merged(fail, aggregate, session):
    sums = aggregate({"x": agg.sum(by=number_of)}, windower=session, ordered=False)
    items = keyed((20, 2), (40, "x"), (30, 3))
    cause = fail(items, lambda up: sums(up).down)
    assert isinstance(cause, TypeError)
    assert str(cause) == "unsupported operand type(s) for +: 'int' and 'str'"


@pytest.mark.parametrize(
    ("aggregators", "error", "message"),
    [
        (
            None,
            TypeError,
            (
                "`aggregators` of step `flow.step` must be a mapping of names to "
                'aggregators, such as `{"n": agg.count()}`; got a `NoneType`'
            ),
        ),
        (
            {},
            ValueError,
            (
                "`aggregators` of step `flow.step` must not be empty; add one, such as "
                '`{"n": agg.count()}`'
            ),
        ),
        (
            {"n": agg.count},
            TypeError,
            (
                "'n' in `aggregators` of step `flow.step` must be an `Aggregator`; "
                "got a `function`; did you mean `agg.count()`?"
            ),
        ),
    ],
)
def test_refuses_other_aggregators(substep_ids, aggregate, aggregators, error, message):
    with pytest.raises(error) as raised:
        substep_ids(aggregate(aggregators))
    assert str(raised.value) == message


def test_refuses_another_clock(substep_ids, tumbling):
    with pytest.raises(TypeError) as raised:
        substep_ids(lambda up: win.aggregate_window("step", up, None, tumbling, ALL))
    assert str(raised.value) == (
        "`clock` of step `flow.step` must be a `Clock`; got a `NoneType`"
    )


def test_substeps(substep_ids, aggregate):
    ids = substep_ids(aggregate())
    assert [each for each in ids if each.count(".") == 2] == [
        "flow.step.fold_window",
        "flow.step.finish",
    ]
