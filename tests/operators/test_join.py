import re

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow
from millstream.operators.join import _JoinLogic
from millstream.testing import TestingSink, TestingSource


def join(**modes):
    """Join two sides; items are ``(key, (side, value))``, so that they are in order."""

    def add_steps(up):
        sides = [
            op.filter_map_value(
                f"side_{side}", up, lambda v, side=side: v[1:] if v[0] == side else None
            )
            for side in (0, 1)
        ]
        values = [
            op.map_value(f"value_{i}", each, lambda v: v[0])
            for i, each in enumerate(sides)
        ]
        return op.join("step", *values, **modes)

    return add_steps


ITEMS = [
    ("a", (0, "l1")),
    ("a", (0, "l2")),
    ("b", (0, "m1")),
    ("a", (1, "r1")),
    ("a", (1, "r2")),
]


@pytest.mark.parametrize(
    ("insert_mode", "expected"),
    [
        ("first", [("a", ("l1", "r1"))]),
        ("last", [("a", ("l2", "r1"))]),
        ("product", [("a", ("l1", "r1")), ("a", ("l2", "r1"))]),
    ],
)
def test_complete_emits_once_all_sides_are_there(evaluate_keyed, insert_mode, expected):
    assert evaluate_keyed(ITEMS, join(insert_mode=insert_mode)) == expected


def test_complete_begins_anew_after_it(evaluate):
    items = [
        ("a", (0, 1)),
        ("a", (1, 2)),
        ("a", (1, 3)),
        ("a", (0, 4)),
    ]
    assert evaluate(items, join()) == [("a", (1, 2)), ("a", (4, 3))]


@pytest.mark.parametrize(
    ("insert_mode", "expected"),
    [
        ("first", [("a", ("l1", "r1")), ("b", ("m1", None))]),
        ("last", [("a", ("l2", "r2")), ("b", ("m1", None))]),
        (
            "product",
            [
                ("a", ("l1", "r1")),
                ("a", ("l1", "r2")),
                ("a", ("l2", "r1")),
                ("a", ("l2", "r2")),
                ("b", ("m1", None)),
            ],
        ),
    ],
)
def test_final_emits_at_the_end(evaluate_keyed, insert_mode, expected):
    out = evaluate_keyed(ITEMS, join(insert_mode=insert_mode, emit_mode="final"))
    assert out == expected


@pytest.mark.parametrize(
    ("insert_mode", "expected"),
    [
        (
            "first",
            [
                ("a", ("l1", None)),
                ("a", ("l1", None)),
                ("a", ("l1", "r1")),
                ("a", ("l1", "r1")),
                ("b", ("m1", None)),
            ],
        ),
        (
            "last",
            [
                ("a", ("l1", None)),
                ("a", ("l2", None)),
                ("a", ("l2", "r1")),
                ("a", ("l2", "r2")),
                ("b", ("m1", None)),
            ],
        ),
        (
            "product",
            [
                ("a", ("l1", None)),
                ("a", ("l1", None)),
                ("a", ("l2", None)),
                ("a", ("l1", "r1")),
                ("a", ("l2", "r1")),
                ("a", ("l1", "r1")),
                ("a", ("l1", "r2")),
                ("a", ("l2", "r1")),
                ("a", ("l2", "r2")),
                ("b", ("m1", None)),
            ],
        ),
    ],
)
def test_running_emits_at_each_value(evaluate_keyed, insert_mode, expected):
    out = evaluate_keyed(ITEMS, join(insert_mode=insert_mode, emit_mode="running"))
    assert out == expected


@pytest.mark.parametrize("insert_mode", ["first", "last", "product"])
def test_none_is_a_value(evaluate, insert_mode):
    items = [("a", (0, None)), ("a", (1, None))]
    assert evaluate(items, join(insert_mode=insert_mode)) == [("a", (None, None))]


def test_first_keeps_a_none(evaluate):
    items = [("a", (0, None)), ("a", (0, 1)), ("a", (1, 2))]
    assert evaluate(items, join(insert_mode="first")) == [("a", (None, 2))]


def test_of_one_side(evaluate):
    out = evaluate([("a", 1), ("a", 2)], lambda up: op.join("step", up))
    assert out == [("a", (1,)), ("a", (2,))]


def test_of_three_sides(entry_point):
    flow = Dataflow("flow")
    sides = [
        op.input(f"inp_{n}", flow, TestingSource([("a", n), ("b", -n)]))
        for n in (1, 2, 3)
    ]
    out = []
    op.output("out", op.join("step", *sides), TestingSink(out))
    entry_point(flow)
    assert sorted(out) == [("a", (1, 2, 3)), ("b", (-1, -2, -3))]


def test_needs_pairs(fail):
    cause = fail([5], lambda up: op.join("step", up, up))
    assert isinstance(cause, TypeError)
    assert str(cause) == (
        "step `flow.step` requires `(key, value)` 2-tuples from upstream; "
        "got an `int`; use `key_on` to add a key to each item"
    )


@pytest.mark.parametrize(
    ("modes", "message"),
    [
        (
            {"insert_mode": "frist"},
            (
                "`insert_mode` of step `flow.step` must be one of "
                '`"first"`, `"last"`, `"product"`; got \'frist\''
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
def test_needs_a_known_mode(modes, message):
    up = op.input("inp", Dataflow("flow"), TestingSource([]))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        op.join("step", up, **modes)


def test_needs_a_side():
    message = (
        "step `step` has no upstream: operator `join` needs at least one `Stream`, "
        "or the `Dataflow`, as a direct argument"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        op.join("step")


def test_the_snapshot_is_a_copy():
    logic = _JoinLogic("product", "final", [[], []])
    logic.on_item((0, [1]))
    state = logic.snapshot()
    logic.on_item((0, [2]))
    assert state == [[[1]], []]
    resumed = _JoinLogic("product", "final", state)
    resumed.on_item((1, 3))
    rows, discard = resumed.on_eof()
    assert list(rows) == [([1], 3)]
    assert discard is True


def test_substeps(substep_ids):
    assert substep_ids(lambda up: op.join("step", up, up)) == [
        "flow.step.add_names",
        "flow.step.add_names.label_0",
        "flow.step.add_names.label_0.map",
        "flow.step.add_names.label_0.map.flat_map_batch",
        "flow.step.add_names.label_1",
        "flow.step.add_names.label_1.map",
        "flow.step.add_names.label_1.map.flat_map_batch",
        "flow.step.add_names.merge",
        "flow.step.join",
        "flow.step.join.stateful_batch",
    ]
