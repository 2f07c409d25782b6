from datetime import timedelta

import millstream.operators as op
import millstream.operators.windowing as win
import pytest
from millstream.dataflow import Dataflow
from millstream.testing import TestingSource


def side_of(up, side):
    return op.filter_map_value(
        f"side_{side}", up, lambda value: value[1] if value[0] == side else None
    )


@pytest.fixture
def join(event_clock, tumbling):
    """Join two sides; items are ``(key, (side, value))``, so that they are in order."""

    def join(windower=tumbling, wait=60, clock=None, **kwargs):
        def add_steps(up):
            sides = [side_of(up, side) for side in (0, 1)]
            return win.join_window(
                "step", clock or event_clock(wait), windower, *sides, **kwargs
            )

        return add_steps

    return join


def left(*values):
    return [("a", (0, value)) for value in values]


def right(*values):
    return [("a", (1, value)) for value in values]


ITEMS = [
    *left((3, "l1"), (1, "l2")),
    *right((4, "r1"), (2, "r2")),
    *left((15, "l3")),
    ("b", (1, (5, "s1"))),
]
IN_ORDER = {
    "first": [("a", (0, ((1, "l2"), (2, "r2"))))],
    "last": [("a", (0, ((3, "l1"), (4, "r1"))))],
    "product": [
        ("a", (0, ((1, "l2"), (2, "r2")))),
        ("a", (0, ((1, "l2"), (4, "r1")))),
        ("a", (0, ((3, "l1"), (2, "r2")))),
        ("a", (0, ((3, "l1"), (4, "r1")))),
    ],
}
REST = [("a", (1, ((15, "l3"), None))), ("b", (0, (None, (5, "s1"))))]


@pytest.mark.parametrize("insert_mode", ["first", "last", "product"])
@pytest.mark.parametrize("batch_size", [1, 6])
def test_final_emits_when_a_window_closes(run, join, insert_mode, batch_size):
    out = run(ITEMS, join(insert_mode=insert_mode), batch_size)
    assert out.down == IN_ORDER[insert_mode] + REST
    assert [(key, each[0]) for key, each in out.meta] == [("a", 0), ("a", 1), ("b", 0)]


def test_last_and_final_are_the_defaults(run, join):
    expected = run(ITEMS, join(insert_mode="last", emit_mode="final", ordered=True))
    assert run(ITEMS, join()) == expected


@pytest.mark.parametrize(
    ("insert_mode", "expected"),
    [("first", ((3, "l1"), (4, "r1"))), ("last", ((1, "l2"), (2, "r2")))],
)
def test_unordered_sides_take_values_as_they_arrive(run, join, insert_mode, expected):
    out = run(ITEMS[:4], join(insert_mode=insert_mode, ordered=False))
    assert out.down == [("a", (0, expected))]


def test_complete_emits_once_all_sides_are_there(run, join):
    items = left((1, "l1"), (2, "l2")) + right((3, "r1"), (4, "r2"), (14, "r3"))
    items += left((5, "l3"))
    out = run(items, join(emit_mode="complete"))
    assert out.down == [
        ("a", (0, ((2, "l2"), (3, "r1")))),
        ("a", (0, ((5, "l3"), (4, "r2")))),
    ]
    assert [window_id for _, (window_id, _) in out.meta] == [0, 1]


def test_complete_emits_all_combinations(run, join):
    items = left((1, "l1"), (2, "l2")) + right((3, "r1"), (4, "r2"))
    out = run(items, join(insert_mode="product", emit_mode="complete"))
    assert out.down == [
        ("a", (0, ((1, "l1"), (3, "r1")))),
        ("a", (0, ((2, "l2"), (3, "r1")))),
    ]


def test_running_emits_whenever_a_value_arrives(run, join):
    items = left((1, "l1")) + right((2, "r1"), (3, "r2"), (14, "r3"))
    out = run(items, join(emit_mode="running"))
    assert out.down == [
        ("a", (0, ((1, "l1"), None))),
        ("a", (0, ((1, "l1"), (2, "r1")))),
        ("a", (0, ((1, "l1"), (3, "r2")))),
        ("a", (1, (None, (14, "r3")))),
    ]


MERGING = [
    *left((40, "l2")),
    *right((40, "r2")),
    *left((20, "l1")),
    *right((20, "r1")),
    *left((30, "l")),
]


@pytest.mark.parametrize(
    ("insert_mode", "expected"),
    [
        ("first", [((20, "l1"), (20, "r1"))]),
        ("last", [((40, "l2"), (40, "r2"))]),
        (
            "product",
            [
                ((left, text), (right, other))
                for left, text in [(20, "l1"), (30, "l"), (40, "l2")]
                for right, other in [(20, "r1"), (40, "r2")]
            ],
        ),
    ],
)
def test_sessions_merge_in_the_order_of_time(run, join, session, insert_mode, expected):
    out = run(MERGING, join(session, insert_mode=insert_mode, ordered=False))
    assert out.down == [("a", (1, row)) for row in expected]


@pytest.mark.parametrize("insert_mode", ["first", "last", "product"])
def test_a_side_that_one_session_lacks_comes_from_the_other(
    run, join, session, insert_mode
):
    items = left((40, "l")) + right((20, "r"), (30, "r"))
    add_steps = join(session, insert_mode=insert_mode, ordered=False)
    rows = [row for _, (_, row) in run(items, add_steps).down]
    assert {row[0] for row in rows} == {(40, "l")}
    assert {row[1][0] for row in rows} <= {20, 30}


def test_running_emits_when_sessions_merge(run, join, session):
    items = left((40, "l")) + right((20, "r"), (30, "s"))
    out = run(items, join(session, emit_mode="running", ordered=False))
    assert out.down == [
        ("a", (0, ((40, "l"), None))),
        ("a", (1, (None, (20, "r")))),
        ("a", (1, (None, (30, "s")))),
        ("a", (1, ((40, "l"), (30, "s")))),
    ]


def test_complete_emits_when_sessions_merge(run, join, session):
    items = left((40, "l")) + right((20, "r"), (30, "s")) + left((35, "m"))
    out = run(items, join(session, emit_mode="complete", ordered=False))
    assert out.down == [("a", (1, ((40, "l"), (30, "s"))))]


def test_late_values_are_as_they_came(run, join):
    items = left((15, "l1"), (1, "l2")) + right((2, "r1"))
    out = run(items, join(wait=5))
    assert out.late == [("a", (0, (1, "l2"))), ("a", (0, (2, "r1")))]
    assert out.down == [("a", (1, ((15, "l1"), None)))]


def test_a_clock_of_the_user_sees_the_values(run, join, at):
    seen = []

    class Logic(win.ClockLogic):
        def on_item(self, value):
            seen.append(value)
            return at(value[0]), at(0)

        def on_notify(self):
            raise AssertionError

        def on_eof(self):
            return win.UTC_MAX

        def snapshot(self):
            raise AssertionError

    class Seeing(win.Clock):
        def build(self, resume_state):
            assert resume_state is None
            return Logic()

    items = left((1, "l")) + right((2, "r"))
    out = run(items, join(clock=Seeing()))
    assert out.down == [("a", (0, ((1, "l"), (2, "r"))))]
    assert seen == [(1, "l"), (2, "r")]


def test_the_clock_is_asked_for_timers(driver, join, event_clock, at):
    clock = event_clock(to_system_utc=lambda timestamp: timestamp + timedelta(days=1))
    logic = driver(join(clock=clock))
    logic.on_batch([(0, (5, "l"))])
    assert logic.notify_at() == at(10) + timedelta(days=1)
    emits, _ = logic.on_notify()
    assert list(emits) == []


def test_state_resumes(driver, join, session):
    add_steps = join(session, insert_mode="product", ordered=False)
    logic = driver(add_steps)
    logic.on_batch([(0, (20, "l")), (1, (40, "r"))])
    state = logic.snapshot()
    logic.on_batch([(0, (30, "changed"))])
    resumed = driver(add_steps, state)
    resumed.on_batch([(1, (30, "s"))])
    emits, _ = resumed.on_eof()
    rows = [row for output, _, row in emits if output == "down"]
    assert rows == [((20, "l"), (30, "s")), ((20, "l"), (40, "r"))]


def test_none_is_a_value(run, tumbling, at):
    clock = win.EventClock(lambda _: at(1), timedelta())

    def add_steps(up):
        nones = op.map_value("none", up, lambda _: None)
        return win.join_window("step", clock, tumbling, nones, up, emit_mode="complete")

    assert run([("a", 1)], add_steps).down == [("a", (0, (None, 1)))]


@pytest.mark.parametrize("sides", [1, 3, 7])
def test_any_number_of_sides(run, event_clock, tumbling, sides):
    def add_steps(up):
        streams = [side_of(up, side) for side in range(sides)]
        return win.join_window("step", event_clock(), tumbling, *streams)

    out = run([("a", (sides - 1, (1, "x")))], add_steps)
    assert out.down == [("a", (0, (None,) * (sides - 1) + ((1, "x"),)))]


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        (
            {"insert_mode": "all"},
            (
                "`insert_mode` of step `flow.step` must be one of "
                '`"first"`, `"last"`, `"product"`; got \'all\''
            ),
        ),
        (
            {"emit_mode": None},
            (
                "`emit_mode` of step `flow.step` must be one of "
                '`"complete"`, `"final"`, `"running"`; got None'
            ),
        ),
    ],
)
def test_modes_are_checked(substep_ids, join, modes, message):
    with pytest.raises(ValueError, match="must be one of") as raised:
        substep_ids(join(**modes))
    assert str(raised.value) == message


def test_needs_a_side(event_clock, tumbling):
    with pytest.raises(ValueError, match="step `step` has no upstream"):
        win.join_window("step", event_clock(), tumbling)


def test_modes_are_by_keyword_only(event_clock, tumbling):
    flow = Dataflow("flow")
    up = op.input("inp", flow, TestingSource([]))
    with pytest.raises(TypeError, match="must be a `Stream`; got a `str`"):
        win.join_window("step", event_clock(), tumbling, up, "last")


def test_the_error_names_the_step_as_it_was_written(fail, join):
    error = ZeroDivisionError("mine")

    def ts_getter(_value):
        raise error

    clock = win.EventClock(ts_getter, timedelta())
    assert fail(left((1, "l")), lambda up: join(clock=clock)(up).down) is error


def test_substeps(substep_ids, event_clock, tumbling):
    ids = substep_ids(
        lambda up: win.join_window("step", event_clock(), tumbling, up, up)
    )
    assert [each for each in ids if each.count(".") == 2] == [
        "flow.step.add_names",
        "flow.step.window",
        "flow.step.unlabel_late",
    ]
