import dataclasses
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import millstream.operators as op
import pytest
from millstream.dataflow import (
    Dataflow,
    DataflowId,
    MultiPort,
    Operator,
    Port,
    SinglePort,
    Stream,
    f_repr,
    operator,
)
from millstream.operators import BranchOut, KeyedStream
from millstream.testing import TestingSink, TestingSource


def raises(error: type[Exception], message: str):
    """Expect an error with exactly this message."""
    return pytest.raises(error, match=f"^{re.escape(message)}$")


@dataclass(frozen=True)
class Halves:
    low: Stream[int]
    high: Stream[int]
    limit: int


@operator
def twice(step_id: str, up: Stream[int], *, times: int = 2) -> Stream[int]:
    """Multiply."""
    return op.map("map", up, lambda x: x * times)


@operator
def halves(step_id: str, up: Stream[int], limit_: int) -> Halves:
    split = op.branch("split", up, lambda x: x < limit_)
    return Halves(split.trues, split.falses, limit_)


@operator
def all_of(step_id: str, *ups: Stream[int]) -> Stream[int]:
    return op.merge("merge", *ups)


@operator
def named(step_id: str, **ups: KeyedStream[int]) -> Stream[Any]:
    return op.merge("merge", *ups.values())


@operator
def numbers(step_id: str, flow: Dataflow) -> Stream[int]:
    return op.input("inp", flow, TestingSource([1, 2, 3]))


@pytest.fixture
def flow():
    return Dataflow("flow")


@pytest.fixture
def up(flow):
    return op.input("inp", flow, TestingSource([1, 2, 3]))


class TestDataflow:
    def test_begins_empty(self, flow):
        assert flow.flow_id == "flow"
        assert flow.substeps == []

    def test_is_filled_by_operators(self, flow, up):
        op.output("out", up, TestingSink([]))
        assert [step.step_id for step in flow.substeps] == ["flow.inp", "flow.out"]

    def test_is_frozen(self, flow):
        with pytest.raises(dataclasses.FrozenInstanceError):
            flow.flow_id = "other"

    @pytest.mark.usefixtures("up")
    def test_flows_do_not_share_steps(self):
        assert Dataflow("flow").substeps == []

    @pytest.mark.parametrize(
        ("flow_id", "error", "message"),
        [
            (
                "a.b",
                ValueError,
                (
                    "a flow id must not contain `.`, which joins nested step ids; "
                    "got 'a.b'"
                ),
            ),
            ("", ValueError, "a flow id must not be empty"),
            (None, TypeError, "a flow id must be a `str`; got None, a `NoneType`"),
        ],
    )
    def test_flow_id_is_checked(self, flow_id, error, message):
        with raises(error, message):
            Dataflow(flow_id)


class TestStream:
    def test_knows_its_flow(self, flow, up):
        assert up.flow() is flow
        assert twice("twice", up).flow() is flow

    def test_is_named_after_the_port_it_leaves(self, up):
        assert up.stream_id == "flow.inp.down"
        assert twice("twice", up).stream_id == "flow.twice.map.flat_map_batch.down"

    def test_then_is_a_call(self, flow, up):
        up.then(twice, "twice", times=3)
        assert flow.substeps[-1].step_id == "flow.twice"
        assert flow.substeps[-1].times == 3

    def test_then_gives_what_the_operator_returns(self, up):
        assert isinstance(up.then(halves, "halves", 2), Halves)
        assert up.then(op.output, "out", TestingSink([])) is None

    def test_may_be_used_often(self, entry_point, flow, up):
        out = []
        op.output("out_1", up, TestingSink(out))
        op.output("out_2", up, TestingSink(out))
        entry_point(flow)
        assert sorted(out) == [1, 1, 2, 2, 3, 3]


class TestSteps:
    """What is kept of a call of an operator."""

    def test_class_is_named_after_the_function(self, flow, up):
        twice("step", up)
        step = flow.substeps[-1]
        assert isinstance(step, Operator)
        assert type(step) is twice._op_cls
        assert type(step).__name__ == "twice"
        assert type(step).__module__ == __name__

    def test_single_ports(self, flow, up):
        twice("step", up)
        step = flow.substeps[-1]
        assert step.step_name == "step"
        assert step.step_id == "flow.step"
        assert step.ups_names == ["up"]
        assert step.dwn_names == ["down"]
        assert step.up == SinglePort("flow.step.up", "flow.inp.down")
        assert step.down == SinglePort(
            "flow.step.down", "flow.step.map.flat_map_batch.down"
        )
        assert step.times == 2

    def test_positional_ports(self, flow, up):
        all_of("step", up, up)
        step = flow.substeps[-1]
        assert step.ups_names == ["ups"]
        assert step.ups == MultiPort(
            "flow.step.ups", {0: "flow.inp.down", 1: "flow.inp.down"}
        )

    def test_named_ports(self, flow, up):
        keyed = op.key_on("key", up, str)
        named("step", left=keyed, right=keyed)
        step = flow.substeps[-1]
        assert step.ups_names == ["ups"]
        assert step.ups == MultiPort(
            "flow.step.ups",
            {
                "left": "flow.key.map.flat_map_batch.down",
                "right": "flow.key.map.flat_map_batch.down",
            },
        )

    def test_several_outputs(self, flow, up):
        out = halves("step", up, 2)
        step = flow.substeps[-1]
        assert step.dwn_names == ["low", "high"]
        assert step.low == SinglePort("flow.step.low", "flow.step.split.trues")
        assert step.high == SinglePort("flow.step.high", "flow.step.split.falses")
        assert step.limit == 2
        assert out.limit == 2

    def test_no_output(self, flow, up):
        op.output("step", up, TestingSink([]))
        assert flow.substeps[-1].dwn_names == []

    def test_a_dataflow_is_kept_by_its_id(self, flow):
        numbers("step", flow)
        assert flow.substeps[-1].flow == DataflowId("flow")
        assert flow.substeps[-1].ups_names == []

    def test_steps_nest(self, flow):
        numbers("step", flow)
        (step,) = flow.substeps
        assert [each.step_id for each in step.substeps] == ["flow.step.inp"]
        assert step.substeps[0].step_name == "inp"

    def test_one_name_may_be_used_at_different_places(self, flow, up):
        twice("map", up)
        assert flow.substeps[-1].step_id == "flow.map"
        assert flow.substeps[-1].substeps[0].step_id == "flow.map.map"

    def test_core_operators_are_told_from_others(self):
        assert op.flat_map_batch._op_cls.core is True
        assert not hasattr(twice._op_cls, "core")

    def test_ports_have_their_streams(self):
        assert SinglePort("p", "s").stream_ids == {"stream": "s"}
        assert isinstance(SinglePort("p", "s"), Port)
        assert isinstance(MultiPort("p", {0: "s"}), Port)

    def test_streams_go_on_in_the_outer_scope(self, entry_point, flow, up):
        split = halves("halves", twice("twice", up), 3)
        out = []
        both = all_of("both", split.low, twice("again", split.high))
        op.output("out", both, TestingSink(out))
        entry_point(flow)
        assert sorted(out) == [2, 8, 12]

    def test_a_dataflow_may_be_passed_inward(self, entry_point, flow):
        out = []
        op.output("out", numbers("numbers", flow), TestingSink(out))
        entry_point(flow)
        assert out == [1, 2, 3]


class TestStepsAsWritten:
    """Messages name the step that the author of a flow knows."""

    @staticmethod
    def written_ids(step_name: str, up: Stream[int]) -> list[str | None]:
        seen = []

        @operator
        def custom(step_id: str, up: Stream[int]) -> Stream[int]:
            seen.append(up._scope.written_id)
            return op.filter_value("filter", op.key_on("key", up, str), bool)

        custom(step_name, up)
        return seen

    def test_of_a_custom_operator_its_substeps(self, up):
        assert self.written_ids("step", up) == [None]

    def test_in_a_custom_operator_the_built_in_one(self, evaluate):
        @operator
        def custom(step_id: str, up: Stream[int]) -> KeyedStream[int]:
            return op.filter_value("filter", up, lambda _: True)

        with pytest.raises(RuntimeError) as raised:
            evaluate([5], lambda up: custom("step", up))
        assert str(raised.value.__cause__) == (
            "step `flow.step.filter` requires `(key, value)` 2-tuples from upstream; "
            "got an `int`; use `key_on` to add a key to each item"
        )


class TestCalls:
    """Errors in the calls of operators."""

    def test_wrong_arguments(self, up):
        with raises(
            TypeError, "operator `map` called incorrectly; see cause above"
        ) as raised:
            op.map("step", up)
        assert str(raised.value.__cause__) == "missing a required argument: 'mapper'"

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (
                lambda up: op.branch("b", up, bool),
                (
                    "`up` of operator `map` must be a `Stream`; got a `BranchOut`; "
                    "did you forget to choose one of its streams, "
                    "`.trues` or `.falses`?"
                ),
            ),
            (
                lambda up: halves("b", up, 2),
                (
                    "`up` of operator `map` must be a `Stream`; got a `Halves`; "
                    "did you forget to choose one of its streams, `.low` or `.high`?"
                ),
            ),
            (
                lambda up: [up],
                (
                    "`up` of operator `map` must be a `Stream`; got a `list`; "
                    "did you forget to unpack it with `*`?"
                ),
            ),
            (
                lambda up: up.flow(),
                "`up` of operator `map` must be a `Stream`; got a `Dataflow`",
            ),
            (
                lambda _up: BranchOut,
                (
                    "`up` of operator `map` must be a `Stream`; "
                    "got the class `BranchOut` itself"
                ),
            ),
            (
                lambda _up: None,
                "`up` of operator `map` must be a `Stream`; got a `NoneType`",
            ),
        ],
        ids=["branch", "halves", "list", "dataflow", "class", "none"],
    )
    def test_an_upstream_must_be_a_stream(self, up, wrong, message):
        with raises(TypeError, message):
            op.map("step", wrong(up), str)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (None, "got `None`, a `NoneType`"),
            ("str", "got `'str'`, a `str`"),
            ([len], "got `[<built-in function len>]`, a `list`"),
        ],
    )
    def test_what_is_annotated_as_callable_must_be_callable(self, flow, wrong, message):
        up = op.input("inp", flow, TestingSource([]))
        message = f"`mapper` of step `flow.step` must be callable; {message}"
        with raises(TypeError, message):
            op.map("step", up, wrong)
        assert [step.step_id for step in flow.substeps] == ["flow.inp"]

    @pytest.mark.parametrize(
        "annotation",
        [
            Callable,
            Callable[[int], int],
            Callable[..., Any] | None,
            typing.Callable,
            typing.Callable[[int], int] | Callable[[], int],
            typing.Optional[Callable[[int], int]],  # noqa: UP045
        ],
    )
    def test_each_way_to_annotate_a_callable(self, up, annotation):
        def custom(step_id: str, up: Stream[int], f) -> Stream[int]:
            return up

        custom.__annotations__["f"] = annotation
        custom = operator(custom)
        custom("step", up, len)
        message = "`f` of step `flow.wrong` must be callable; got `5`, an `int`"
        with raises(TypeError, message):
            custom("wrong", up, 5)

    def test_a_callable_may_be_none_if_the_annotation_or_default_says_so(self, up):
        @operator
        def custom(
            step_id: str,
            up: Stream[int],
            f: Callable[[], int] | None,
            g: Callable[[], int] = None,  # noqa: RUF013
            h: Callable[[], int] | str = "h",
        ) -> Stream[int]:
            return up

        custom("step", up, None)
        custom("other", up, None, h="any")
        message = "`g` of step `flow.wrong` must be callable; got `5`, an `int`"
        with raises(TypeError, message):
            custom("wrong", up, None, 5)

    def test_each_of_several_callables_must_be_callable(self, up):
        @operator
        def custom(
            step_id: str,
            up: Stream[int],
            *fs: Callable[[], int],
            **gs: Callable[[], int],
        ) -> Stream[int]:
            return up

        custom("step", up)
        custom("other", up, len, int, g=len)
        message = "`fs` of step `flow.wrong` must be callable; got `5`, an `int`"
        with raises(TypeError, message):
            custom("wrong", up, len, 5)
        message = "`gs` of step `flow.wrong` must be callable; got `5`, an `int`"
        with raises(TypeError, message):
            custom("wrong", up, g=5)

    def test_each_named_upstream_must_be_a_stream(self, up):
        message = "`ups` of operator `named` must be a `Stream`; got an `int`"
        with raises(TypeError, message):
            named("step", left=up, right=5)

    @pytest.mark.parametrize(
        ("step_id", "error", "message"),
        [
            (
                "a.b",
                ValueError,
                (
                    "a step id must not contain `.`, which joins nested step ids; "
                    "got 'a.b'"
                ),
            ),
            ("", ValueError, "a step id must not be empty"),
            (5, TypeError, "a step id must be a `str`; got 5, an `int`"),
        ],
    )
    def test_step_id_is_checked(self, up, step_id, error, message):
        with raises(error, message):
            op.map(step_id, up, str)

    def test_step_ids_are_unique(self, up):
        op.map("step", up, str)
        message = "step `flow.step` already exists; give each step an id of its own"
        with raises(ValueError, message):
            op.filter("step", up, bool)

    def test_step_ids_are_unique_within_an_operator(self, flow, up):
        @operator
        def doubled(step_id: str, up: Stream[int]) -> Stream[int]:
            return op.map("same", op.map("same", up, abs), abs)

        message = (
            "step `flow.step.same` already exists; give each step an id of its own"
        )
        with raises(ValueError, message):
            doubled("step", up)
        assert [step.step_id for step in flow.substeps] == ["flow.inp"]

    def test_no_upstream(self):
        message = (
            "step `step` has no upstream: operator `all_of` needs at least one "
            "`Stream`, or the `Dataflow`, as a direct argument"
        )
        with raises(ValueError, message):
            all_of("step")

    def test_a_stream_in_a_list_is_no_upstream(self, up):
        @operator
        def hiding(step_id: str, ups: list[Stream[int]]) -> Stream[int]:
            return op.merge("merge", *ups)

        message = (
            "step `step` has no upstream: operator `hiding` needs at least one "
            "`Stream`, or the `Dataflow`, as a direct argument"
        )
        with raises(ValueError, message):
            hiding("step", [up])

    @pytest.mark.parametrize("other_id", ["other", "flow"])
    def test_streams_of_two_flows(self, up, other_id):
        other = numbers("numbers", Dataflow(other_id))
        message = (
            f"step `step` joins streams of two dataflows, 'flow' and {other_id!r}; "
            "all upstreams of a step must belong to one dataflow"
        )
        with raises(ValueError, message):
            op.merge("step", up, other)

    def test_streams_of_two_scopes(self, up):
        @operator
        def leaking(step_id: str, inner: Stream[int]) -> Stream[int]:
            return op.merge("merge", inner, up)

        message = (
            "step `merge` mixes streams from inside 'flow.step' and inside 'flow'; "
            "an operator's body may use only the streams that it was given or made "
            "itself"
        )
        with raises(ValueError, message):
            leaking("step", up)

    def test_what_an_operator_returns_is_checked(self, up):
        @operator
        def forgetful(step_id: str, up: Stream[int]) -> Stream[int]:
            op.map("map", up, abs)

        @operator
        def forgetful_too(step_id: str, up: Stream[int]) -> BranchOut[int, int]:
            return up

        message = (
            "operator `forgetful` must return a `Stream`, as it is annotated; "
            "in step `flow.step`, it returned a `NoneType`"
        )
        with raises(TypeError, message):
            forgetful("step", up)
        message = (
            "operator `forgetful_too` must return a `BranchOut`, as it is annotated; "
            "in step `flow.step`, it returned a `Stream`"
        )
        with raises(TypeError, message):
            forgetful_too("step", up)


class TestOperator:
    """The decorator."""

    def test_may_be_called(self, up):
        @operator()
        def same(step_id: str, up: Stream[int]) -> Stream[int]:
            return up

        assert same("step", up) == up

    def test_keeps_name_signature_and_docstring(self):
        assert twice.__name__ == "twice"
        assert twice.__qualname__ == "twice"
        assert twice.__module__ == __name__
        assert twice.__doc__ == "Multiply."

    def test_the_body_gets_the_full_step_id(self, up):
        seen = []

        @operator
        def inner(step_id: str, up: Stream[int]) -> Stream[int]:
            seen.append(step_id)
            return up

        @operator
        def outer(step_id: str, up: Stream[int]) -> Stream[int]:
            seen.append(step_id)
            return inner("inner", up)

        outer("outer", up)
        assert seen == ["flow.outer", "flow.outer.inner"]

    def test_arguments_arrive_as_they_were_given(self, up):
        seen = []

        @operator
        def mixed(
            step_id: str,
            up: Stream[int],
            /,
            a: int,
            *args: int,
            b: int = 4,
            **rest: int,
        ) -> None:
            seen.append((a, args, b, rest))

        mixed("one", up, 1)
        mixed("two", up, 1, 2, 3, b=5, c=6)
        assert seen == [(1, (), 4, {}), (1, (2, 3), 5, {"c": 6})]

    def test_without_a_return_annotation_there_is_one_output(self, flow, up):
        @operator
        def same(step_id: str, up: Stream[int]):
            return up

        same("step", up)
        assert flow.substeps[-1].dwn_names == ["down"]

    def test_needs_a_step_id(self):
        def nameless(up: Stream[int]) -> Stream[int]:
            return up

        message = "operator `nameless` must have a parameter `step_id`"
        with raises(TypeError, message):
            operator(nameless)

    @pytest.mark.parametrize(
        "name", ["step_name", "substeps", "ups_names", "dwn_names", "core"]
    )
    def test_a_parameter_may_not_hide_what_every_operator_has(self, name):
        scope = {"Stream": Stream}
        exec(  # noqa: S102
            f"def hiding(step_id: str, up: Stream, {name}: int) -> Stream: ...", scope
        )
        message = (
            "operator `hiding` can't have a parameter or an output named "
            f"`{name}`, which every operator has already; rename it"
        )
        with raises(TypeError, message):
            operator(scope["hiding"])

    def test_an_output_may_not_hide_what_every_operator_has(self):
        @dataclass(frozen=True)
        class Out:
            step_id: Stream[int]

        def hiding(step_id: str, up: Stream[int]) -> Out:
            return Out(up)

        message = (
            "operator `hiding` can't have a parameter or an output named "
            "`step_id`, which every operator has already; rename it"
        )
        with raises(TypeError, message):
            operator(hiding)

    @pytest.mark.parametrize(
        ("returned", "name"), [(Halves, "low"), (Stream[int], "down")]
    )
    def test_a_parameter_may_not_be_named_as_an_output(self, returned, name):
        scope = {"Stream": Stream, "returned": returned}
        exec(  # noqa: S102
            f"def both(step_id: str, {name}: Stream) -> returned: ...", scope
        )
        message = (
            f"operator `both` has both a parameter and an output named `{name}`; "
            "rename one of them"
        )
        with raises(TypeError, message):
            operator(scope["both"])

    def test_annotations_must_be_known_at_run_time(self):
        def dreaming(step_id: str, up: "Missing") -> Stream[int]:  # noqa: F821
            return up

        message = (
            "can't resolve the annotations of `dreaming`: "
            "name 'Missing' is not defined; they are needed at run time, so define or "
            "import all names in them at the top level of the module, and not only "
            "for type checkers"
        )
        with raises(TypeError, message):
            operator(dreaming)

    def test_a_subclass_of_stream_is_an_upstream(self, flow, up):
        class Special(Stream[int]):
            pass

        @operator
        def special(step_id: str, up: Special) -> Stream[int]:
            return up

        special("step", up)
        assert flow.substeps[-1].ups_names == ["up"]


def named_function(x: int) -> int:
    return x


class CallableObject:
    def __call__(self, x: int) -> int:
        return x

    def __repr__(self) -> str:
        return "CallableObject()"


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (len, "<built-in function len>"),
        (int, "<class 'int'>"),
        (CallableObject(), "CallableObject()"),
        (
            named_function,
            (
                f"<function '{__name__}.named_function' "
                f"line {named_function.__code__.co_firstlineno}>"
            ),
        ),
    ],
    ids=["built-in", "class", "object", "function"],
)
def test_f_repr(f: Callable[[int], int], expected):
    assert f_repr(f) == expected
