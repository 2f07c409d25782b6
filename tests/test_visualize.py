"""Pictures of dataflows: what is drawn, and that no step name breaks a format."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import millstream.operators as op
import pytest
from millstream.dataflow import Dataflow, Stream, operator
from millstream.testing import TestingSink, TestingSource
from millstream.visualize import (
    RenderedDataflow,
    RenderedOperator,
    RenderedPort,
    to_json,
    to_mermaid,
    to_physical,
    to_plantuml,
    to_rendered,
)


def numbers_flow(flow_id="numbers"):
    """Branch, a composed step in one branch, merge, a keyed step and an output."""
    flow = Dataflow(flow_id)
    numbers = op.input("in", flow, TestingSource([1, 2, 3]))
    parity = op.branch("even", numbers, lambda x: x % 2 == 0)
    doubled = op.map("double", parity.falses, lambda x: x * 2)
    all_even = op.merge("all", parity.trues, doubled)
    keyed = op.key_on("key", all_even, str)
    op.output("out", keyed, TestingSink([]))
    return flow


def port(port_id, from_port_ids, from_stream_ids):
    return {
        "typ": "RenderedPort",
        "port_name": port_id.rpartition(".")[2],
        "port_id": port_id,
        "from_port_ids": from_port_ids,
        "from_stream_ids": from_stream_ids,
    }


def step(op_type, step_id, inp_ports, out_ports, substeps=()):
    return {
        "typ": "RenderedOperator",
        "op_type": op_type,
        "step_name": step_id.rpartition(".")[2],
        "step_id": step_id,
        "inp_ports": inp_ports,
        "out_ports": out_ports,
        "substeps": list(substeps),
    }


IN = "numbers.in.down"
TRUES = "numbers.even.trues"
FALSES = "numbers.even.falses"
DOUBLED = "numbers.double.flat_map_batch.down"
ALL = "numbers.all.down"
KEYED = "numbers.key.map.flat_map_batch.down"

NUMBERS_JSON = {
    "typ": "RenderedDataflow",
    "flow_id": "numbers",
    "substeps": [
        step("input", "numbers.in", [], [port(IN, [], [IN])]),
        step(
            "branch",
            "numbers.even",
            [port("numbers.even.up", [IN], [IN])],
            [port(TRUES, [], [TRUES]), port(FALSES, [], [FALSES])],
        ),
        step(
            "map",
            "numbers.double",
            [port("numbers.double.up", [FALSES], [FALSES])],
            [port("numbers.double.down", [DOUBLED], [DOUBLED])],
            [
                step(
                    "flat_map_batch",
                    "numbers.double.flat_map_batch",
                    [
                        port(
                            "numbers.double.flat_map_batch.up",
                            ["numbers.double.up"],
                            [FALSES],
                        )
                    ],
                    [port(DOUBLED, [], [DOUBLED])],
                )
            ],
        ),
        step(
            "merge",
            "numbers.all",
            [port("numbers.all.ups", [TRUES, "numbers.double.down"], [TRUES, DOUBLED])],
            [port(ALL, [], [ALL])],
        ),
        step(
            "key_on",
            "numbers.key",
            [port("numbers.key.up", [ALL], [ALL])],
            [port("numbers.key.down", ["numbers.key.map.down"], [KEYED])],
            [
                step(
                    "map",
                    "numbers.key.map",
                    [port("numbers.key.map.up", ["numbers.key.up"], [ALL])],
                    [port("numbers.key.map.down", [KEYED], [KEYED])],
                    [
                        step(
                            "flat_map_batch",
                            "numbers.key.map.flat_map_batch",
                            [
                                port(
                                    "numbers.key.map.flat_map_batch.up",
                                    ["numbers.key.map.up"],
                                    [ALL],
                                )
                            ],
                            [port(KEYED, [], [KEYED])],
                        )
                    ],
                )
            ],
        ),
        step(
            "output",
            "numbers.out",
            [port("numbers.out.up", ["numbers.key.down"], [KEYED])],
            [],
        ),
    ],
}

NUMBERS_MERMAID = """\
flowchart TD
numbers.in["in (input)"]
numbers.even["even (branch)"]
numbers.double["double (map)"]
numbers.all["all (merge)"]
numbers.key["key (key_on)"]
numbers.out["out (output)"]
numbers.in -- "down → up" --> numbers.even
numbers.even -- "falses → up" --> numbers.double
numbers.even -- "trues → ups" --> numbers.all
numbers.double -- "down → ups" --> numbers.all
numbers.all -- "down → up" --> numbers.key
numbers.key -- "down → up" --> numbers.out"""

NUMBERS_MERMAID_RECURSIVE = """\
flowchart TD
numbers.in["in (input)"]
numbers.even["even (branch)"]
subgraph numbers.double["double (map)"]
    numbers.double.flat_map_batch["flat_map_batch (flat_map_batch)"]
end
numbers.all["all (merge)"]
subgraph numbers.key["key (key_on)"]
    subgraph numbers.key.map["map (map)"]
        numbers.key.map.flat_map_batch["flat_map_batch (flat_map_batch)"]
    end
end
numbers.out["out (output)"]
numbers.in -- "down → up" --> numbers.even
numbers.even -- "falses → up" --> numbers.double.flat_map_batch
numbers.even -- "trues → ups" --> numbers.all
numbers.double.flat_map_batch -- "down → ups" --> numbers.all
numbers.all -- "down → up" --> numbers.key.map.flat_map_batch
numbers.key.map.flat_map_batch -- "down → up" --> numbers.out"""


def test_rendered():
    flow = Dataflow("small")
    op.output("out", op.input("in", flow, TestingSource([])), TestingSink([]))
    down = RenderedPort("down", "small.in.down", [], ["small.in.down"])
    up = RenderedPort("up", "small.out.up", ["small.in.down"], ["small.in.down"])
    assert to_rendered(flow) == RenderedDataflow(
        "small",
        [
            RenderedOperator("input", "in", "small.in", [], [down], []),
            RenderedOperator("output", "out", "small.out", [up], [], []),
        ],
    )


def test_json():
    assert to_json(numbers_flow()) == json.dumps(NUMBERS_JSON, indent=2)


def test_mermaid():
    assert to_mermaid(numbers_flow()) == NUMBERS_MERMAID


def test_recursive_mermaid():
    assert to_mermaid(numbers_flow(), recursive=True) == NUMBERS_MERMAID_RECURSIVE


def small_flow(step_id, flow_id="small"):
    flow = Dataflow(flow_id)
    numbers = op.input("in", flow, TestingSource([1, 2, 3]))
    op.output("out", op.map(step_id, numbers, str), TestingSink([]))
    return flow


def test_plantuml():
    assert to_plantuml(small_flow("text")) == textwrap.dedent("""\
        @startuml
        title small
        component "in (input)" as small.in {
            portout "down" as small.in.down
        }
        component "text (map)" as small.text {
            portin "up" as small.text.up
            portout "down" as small.text.down
        }
        component "out (output)" as small.out {
            portin "up" as small.out.up
        }
        small.in.down --> small.text.up
        small.text.down --> small.out.up
        @enduml""")


def test_recursive_plantuml():
    assert to_plantuml(small_flow("text"), recursive=True) == textwrap.dedent("""\
        @startuml
        title small
        component "in (input)" as small.in {
            portout "down" as small.in.down
        }
        component "text (map)" as small.text {
            portin "up" as small.text.up
            portout "down" as small.text.down
            component "flat_map_batch (flat_map_batch)" as small.text.flat_map_batch {
                portin "up" as small.text.flat_map_batch.up
                portout "down" as small.text.flat_map_batch.down
            }
        }
        component "out (output)" as small.out {
            portin "up" as small.out.up
        }
        small.in.down --> small.text.up
        small.text.flat_map_batch.down --> small.text.down
        small.text.up --> small.text.flat_map_batch.up
        small.text.down --> small.out.up
        @enduml""")


def test_empty_dataflow():
    assert to_mermaid(Dataflow("empty")) == "flowchart TD"
    assert to_plantuml(Dataflow("empty")) == "@startuml\ntitle empty\n@enduml"


@operator
def pass_on(step_id: str, up: Stream[int]) -> Stream[int]:
    """Do nothing."""
    del step_id
    return up


def test_stream_that_a_step_passes_on_begins_where_it_began():
    flow = Dataflow("small")
    numbers = op.input("in", flow, TestingSource([1, 2, 3]))
    op.output("out", pass_on("same", numbers), TestingSink([]))
    same, out = to_rendered(flow).substeps[1:]
    assert same.out_ports[0].from_port_ids == ["small.same.up"]
    assert out.inp_ports[0].from_port_ids == ["small.in.down"]


def test_stream_that_is_merged_with_itself_is_drawn_twice():
    flow = Dataflow("small")
    numbers = op.input("in", flow, TestingSource([1, 2, 3]))
    op.output("out", op.merge("twice", numbers, numbers), TestingSink([]))
    edge = 'small.in -- "down → ups" --> small.twice'
    assert to_mermaid(flow).count(edge) == 2


@pytest.mark.parametrize(
    ("step_id", "mermaid_label", "plantuml_label", "identifier"),
    [
        ('say "hi"', "say #34;hi#34;", "say &#34;hi&#34;", "say_20__22_hi_22_"),
        ("a#b;", "a#35;b#59;", "a&#35;b&#59;", "a_23_b_3b_"),
        ("a\nb", "a#10;b", "a&#10;b", "a_a_b"),
        ("<b>&`", "#60;b#62;#38;#96;", "&#60;b&#62;&#38;&#96;", "_3c_b_3e__26__60_"),
        ("x]-->", "x#93;--#62;", "x&#93;--&#62;", "x_5d__2d__2d__3e_"),
        ("zählen", "zählen", "zählen", "z_e4_hlen"),
    ],
)
def test_characters_with_a_meaning_are_escaped(
    step_id, mermaid_label, plantuml_label, identifier
):
    flow = small_flow(step_id)
    assert to_mermaid(flow).splitlines()[2] == (
        f'small.{identifier}["{mermaid_label} (map)"]'
    )
    assert f'component "{plantuml_label} (map)" as small.{identifier} {{' in (
        to_plantuml(flow).splitlines()
    )


@pytest.mark.parametrize("flow_id", ["end", "graph", "style", "class", "subgraph"])
def test_flow_named_like_a_mermaid_keyword(flow_id):
    lines = to_mermaid(small_flow("text", flow_id)).splitlines()
    assert lines[2] == f'_{flow_id}.text["text (map)"]'
    assert lines[-1] == f'_{flow_id}.text -- "down → up" --> _{flow_id}.out'


def visualize(*args, folder):
    """The exit code, standard output and standard error of the command line."""
    # A debug build of the engine warns at its import, which is not what we look at.
    done = subprocess.run(
        [sys.executable, "-m", "millstream.visualize", *args],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


class TestCommand:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "small.py").write_text(
            textwrap.dedent("""\
                import millstream.operators as op
                from millstream.dataflow import Dataflow
                from millstream.testing import TestingSink, TestingSource

                flow = Dataflow("small")
                numbers = op.input("in", flow, TestingSource([1, 2, 3]))
                op.output("out", op.map("text", numbers, str), TestingSink([]))
            """),
            "utf-8",
        )
        return tmp_path

    @pytest.mark.parametrize(
        ("options", "draw"),
        [
            ([], to_mermaid),
            (["-o", "mermaid"], to_mermaid),
            (["-r"], lambda flow: to_mermaid(flow, recursive=True)),
            (["-o", "plantuml"], to_plantuml),
            (["-o", "plantuml", "-r"], lambda flow: to_plantuml(flow, recursive=True)),
            (["-o", "json"], to_json),
            (["-o", "json", "--recursive"], to_json),
        ],
    )
    def test_formats(self, folder, options, draw):
        expected = draw(small_flow("text")) + "\n"
        assert visualize("small.py", *options, folder=folder) == (0, expected, "")

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ([], "the following arguments are required: import_string; see `--help`"),
            (
                ["nowhere.py"],
                "can't find a dataflow in `nowhere.py`: there is no such file",
            ),
            (["small:op"], "`small:op` is not a `Dataflow` but a `module`"),
        ],
    )
    def test_mistake_in_calling_gets_one_sentence(self, folder, args, message):
        expected = (64, "", f"millstream: {message}\n")
        assert visualize(*args, folder=folder) == expected

    def test_module_that_raises(self, folder):
        file = folder / "broken.py"
        file.write_text('raise ValueError("not today")\n', "utf-8")
        assert visualize("broken", folder=folder) == (
            70,
            "",
            (
                "Traceback (most recent call last):\n"
                f'  File "{file}", line 1, in <module>\n'
                '    raise ValueError("not today")\n'
                "ValueError: not today\n"
            ),
        )


class TestPhysical:
    def flow(self):
        flow = Dataflow("flow")
        lines = op.input("lines", flow, TestingSource(["to be"]))
        words = op.flat_map("split", lines, str.split)
        upper = op.map("upper", words, str.upper)
        counts = op.count_final("count", upper, key=str)
        op.output("out", counts, TestingSink([]))
        return flow

    def test_native_forms_and_fused_steps(self, monkeypatch):
        monkeypatch.delenv("MILLSTREAM_OPTIMIZE", raising=False)
        assert to_physical(self.flow()) == (
            "input           flow.lines\n"
            "fused           flow.split, flow.upper, flow.count\n"
            "stateful_batch  flow.count\n"
            "output          flow.out"
        )

    def test_composed_forms(self, monkeypatch):
        monkeypatch.setenv("MILLSTREAM_OPTIMIZE", "0")
        assert to_physical(self.flow()) == (
            "input           flow.lines\n"
            "flat_map_batch  flow.split\n"
            "flat_map_batch  flow.upper\n"
            "flat_map_batch  flow.count\n"
            "flat_map_batch  flow.count\n"
            "stateful_batch  flow.count\n"
            "output          flow.out"
        )

    def test_from_the_command_line(self, monkeypatch):
        monkeypatch.delenv("MILLSTREAM_OPTIMIZE", raising=False)
        command = [sys.executable, "-m", "millstream.visualize"]
        command += ["examples.wordcount", "--physical"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        assert done.stdout.startswith("input ")
        assert "\nfused " in done.stdout
