"""Pictures of a dataflow: as JSON, as a Mermaid or as a PlantUML diagram.

A dataflow refers to its streams by id. `to_rendered` follows each stream to the
port that it comes out of, and the three formats are written from what it returns.
From the command line: ``python -m millstream.visualize flow.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

from millstream._arguments import ArgumentParser
from millstream._engine import physical
from millstream._exit import exit_code_of
from millstream._import_string import locate_dataflow, prepare_import
from millstream.dataflow import Dataflow, Operator

__all__ = [
    "RenderedDataflow",
    "RenderedOperator",
    "RenderedPort",
    "to_json",
    "to_mermaid",
    "to_physical",
    "to_plantuml",
    "to_rendered",
]


@dataclass(frozen=True)
class RenderedPort:
    """Where streams enter or leave a step.

    Args:
        port_name: The name of the parameter or output.
        port_id: The id of the step and the name of the port.
        from_port_ids: Where the streams come from, as seen at this level: another
            step's output, or an input of the step around this one. For an output
            of a composed step, the port inside it. Empty for an output of a core
            step, where a stream begins.
        from_stream_ids: The streams themselves.
    """

    port_name: str
    port_id: str
    from_port_ids: list[str]
    from_stream_ids: list[str]


@dataclass(frozen=True)
class RenderedOperator:
    """A step with its ports.

    Args:
        op_type: The name of the operator function.
        step_name: What the user called the step.
        step_id: Its full id.
        inp_ports: Where streams enter.
        out_ports: Where streams leave.
        substeps: What the step is composed of; empty for a core step.
    """

    op_type: str
    step_name: str
    step_id: str
    inp_ports: list[RenderedPort]
    out_ports: list[RenderedPort]
    substeps: list[RenderedOperator]


@dataclass(frozen=True)
class RenderedDataflow:
    """A dataflow with its steps.

    Args:
        flow_id: What the user called it.
        substeps: Its steps, in the order in which they were made.
    """

    flow_id: str
    substeps: list[RenderedOperator]


def to_rendered(flow: Dataflow) -> RenderedDataflow:
    """Follow every stream of a dataflow to the port that it comes out of.

    Args:
        flow: The dataflow.

    Returns:
        Its steps with all their substeps.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource
        >>> flow = Dataflow("basic")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2]))
        >>> op.output("out", numbers, TestingSink([]))
        >>> to_rendered(flow).substeps[1].inp_ports[0].from_port_ids
        ['basic.numbers.down']
    """
    return RenderedDataflow(flow.flow_id, _render_steps(flow.substeps, {}))


def _render_steps(
    steps: Iterable[Operator], origins: dict[str, str]
) -> list[RenderedOperator]:
    """Render sibling steps, and add to `origins` the port of each stream they make."""
    rendered = []
    for step in steps:
        rendered.append(_render_step(step, origins))
        _add_origins(origins, rendered[-1].out_ports)
    return rendered


def _render_step(step: Operator, origins: dict[str, str]) -> RenderedOperator:
    inp_ports = [_render_port(step, name, origins) for name in step.ups_names]
    inside: dict[str, str] = {}
    _add_origins(inside, inp_ports)
    substeps = _render_steps(step.substeps, inside)
    out_ports = [_render_port(step, name, inside) for name in step.dwn_names]
    return RenderedOperator(
        type(step).__name__,
        step.step_name,
        step.step_id,
        inp_ports,
        out_ports,
        substeps,
    )


def _render_port(step: Operator, name: str, origins: dict[str, str]) -> RenderedPort:
    port = getattr(step, name)
    stream_ids = list(port.stream_ids.values())
    from_port_ids = [origins[stream] for stream in stream_ids if stream in origins]
    return RenderedPort(name, port.port_id, from_port_ids, stream_ids)


def _add_origins(origins: dict[str, str], ports: Iterable[RenderedPort]) -> None:
    # A step may pass a stream on as it is: that stream still begins where it began.
    for port in ports:
        for stream_id in port.from_stream_ids:
            origins.setdefault(stream_id, port.port_id)


def to_json(flow: Dataflow) -> str:
    """Describe a dataflow, with all substeps, as JSON.

    Args:
        flow: The dataflow.

    Returns:
        `RenderedDataflow` as nested objects, each with the name of its class as
        ``"typ"``.

    Examples:
        >>> print(to_json(Dataflow("empty")))
        {
          "typ": "RenderedDataflow",
          "flow_id": "empty",
          "substeps": []
        }
    """
    return json.dumps(to_rendered(flow), indent=2, default=_json_object)


def _json_object(
    rendered: RenderedDataflow | RenderedOperator | RenderedPort,
) -> dict[str, Any]:
    fields = dataclasses.fields(rendered)
    return {
        "typ": type(rendered).__name__,
        **{field.name: getattr(rendered, field.name) for field in fields},
    }


def to_mermaid(flow: Dataflow, recursive: bool = False) -> str:  # noqa: FBT001, FBT002
    """Draw a dataflow as a Mermaid flowchart.

    Args:
        flow: The dataflow.
        recursive: Whether to draw composed steps as boxes around their substeps.

    Returns:
        The text of the diagram.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource
        >>> flow = Dataflow("basic")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2]))
        >>> op.output("out", numbers, TestingSink([]))
        >>> print(to_mermaid(flow))
        flowchart TD
        basic.numbers["numbers (input)"]
        basic.out["out (output)"]
        basic.numbers -- "down → up" --> basic.out
    """
    steps = to_rendered(flow).substeps
    drawn = list(_core_steps(steps)) if recursive else steps
    nodes = chain.from_iterable(_mermaid_node(s, recursive=recursive) for s in steps)
    return "\n".join(["flowchart TD", *nodes, *_mermaid_edges(drawn)])


def _core_steps(steps: Iterable[RenderedOperator]) -> Iterator[RenderedOperator]:
    for step in steps:
        if step.substeps:
            yield from _core_steps(step.substeps)
        else:
            yield step


def _mermaid_node(step: RenderedOperator, *, recursive: bool) -> Iterator[str]:
    node = f'{_mermaid_id(step.step_id)}["{_label(step, _MERMAID_CHARACTER)}"]'
    if not (recursive and step.substeps):
        yield node
        return
    yield f"subgraph {node}"
    for substep in step.substeps:
        yield from _indented(_mermaid_node(substep, recursive=True))
    yield "end"


def _mermaid_edges(steps: list[RenderedOperator]) -> Iterator[str]:
    """Join the steps that are drawn, whatever level they are from."""
    origins: dict[str, tuple[RenderedOperator, RenderedPort]] = {}
    for step in steps:
        for port in step.out_ports:
            for stream_id in port.from_stream_ids:
                origins.setdefault(stream_id, (step, port))
    for step in steps:
        for port in step.inp_ports:
            for stream_id in port.from_stream_ids:
                from_step, from_port = origins[stream_id]
                yield (
                    f"{_mermaid_id(from_step.step_id)} "
                    f'-- "{from_port.port_name} → {port.port_name}" --> '
                    f"{_mermaid_id(step.step_id)}"
                )


_MERMAID_KEYWORDS = frozenset(
    ["class", "classDef", "end", "flowchart", "graph", "linkStyle", "style", "subgraph"]
)


def _mermaid_id(step_id: str) -> str:
    flow_id = step_id.partition(".")[0]
    prefix = "_" if flow_id in _MERMAID_KEYWORDS else ""
    return prefix + _identifier(step_id)


def to_plantuml(flow: Dataflow, recursive: bool = False) -> str:  # noqa: FBT001, FBT002
    """Draw a dataflow as a PlantUML component diagram.

    Args:
        flow: The dataflow.
        recursive: Whether to draw substeps inside composed steps.

    Returns:
        The text of the diagram.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.testing import TestingSink, TestingSource
        >>> flow = Dataflow("basic")
        >>> numbers = op.input("numbers", flow, TestingSource([1, 2]))
        >>> op.output("out", numbers, TestingSink([]))
        >>> print(to_plantuml(flow))
        @startuml
        title basic
        component "numbers (input)" as basic.numbers {
            portout "down" as basic.numbers.down
        }
        component "out (output)" as basic.out {
            portin "up" as basic.out.up
        }
        basic.numbers.down --> basic.out.up
        @enduml
    """
    rendered = to_rendered(flow)
    steps = rendered.substeps
    lines = [
        "@startuml",
        f"title {_escaped(rendered.flow_id, _PLANTUML_CHARACTER)}",
        *chain.from_iterable(_plantuml_step(s, recursive=recursive) for s in steps),
        *chain.from_iterable(_plantuml_edges(s, recursive=recursive) for s in steps),
        "@enduml",
    ]
    return "\n".join(lines)


def _plantuml_step(step: RenderedOperator, *, recursive: bool) -> Iterator[str]:
    label = _label(step, _PLANTUML_CHARACTER)
    yield f'component "{label}" as {_identifier(step.step_id)} {{'
    for keyword, ports in (("portin", step.inp_ports), ("portout", step.out_ports)):
        for port in ports:
            yield f'    {keyword} "{port.port_name}" as {_identifier(port.port_id)}'
    if recursive:
        for substep in step.substeps:
            yield from _indented(_plantuml_step(substep, recursive=True))
    yield "}"


def _plantuml_edges(step: RenderedOperator, *, recursive: bool) -> Iterator[str]:
    ports = [*step.inp_ports, *step.out_ports] if recursive else step.inp_ports
    for port in ports:
        for from_port_id in port.from_port_ids:
            yield f"{_identifier(from_port_id)} --> {_identifier(port.port_id)}"
    if recursive:
        for substep in step.substeps:
            yield from _plantuml_edges(substep, recursive=True)


# Both formats have characters of their own in names and in labels, so anything but
# the plainest is written as its code point.

_MERMAID_CHARACTER = "#{};"
_PLANTUML_CHARACTER = "&#{};"


def _label(step: RenderedOperator, character: str) -> str:
    return _escaped(f"{step.step_name} ({step.op_type})", character)


def _escaped(text: str, character: str) -> str:
    return re.sub(r"[^\w ()-]", lambda match: character.format(ord(match[0])), text)


def _identifier(some_id: str) -> str:
    return re.sub(
        r"[^\w.]", lambda match: f"_{ord(match[0]):x}_", some_id, flags=re.ASCII
    )


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def to_physical(flow: Dataflow) -> str:
    """List what the engine really runs.

    Built-in steps run in their native form where they have one, and stateless
    neighbours become one operator; see `MILLSTREAM_OPTIMIZE`.

    Args:
        flow: The dataflow.

    Returns:
        A line for each operator: its name, and the steps that it stands for.

    Raises:
        InvalidDataflowError: If the dataflow can't run.

    Examples:
        >>> import millstream.operators as op
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource
        >>> flow = Dataflow("physical_example")
        >>> lines = op.input("lines", flow, TestingSource(["to be"]))
        >>> words = op.flat_map("split", lines, str.split)
        >>> upper = op.map("upper", words, str.upper)
        >>> op.output("out", upper, TestingSink([]))
        >>> print(to_physical(flow))
        input           physical_example.lines
        fused           physical_example.split, physical_example.upper
        output          physical_example.out
    """
    return "\n".join(
        f"{name:<15} {', '.join(steps)}" for name, steps, _, _ in physical(flow)
    )


def _parse_args() -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m millstream.visualize", description="Draw a dataflow."
    )
    parser.add_argument(
        "import_str",
        metavar="import_string",
        help="where the dataflow is, as for `python -m millstream.run`",
    )
    parser.add_argument(
        "-o",
        "--output-format",
        choices=("json", "mermaid", "plantuml"),
        default="mermaid",
        help="what to write; mermaid by default",
    )
    parser.add_argument(
        "-r",
        "--recursive",
        action="store_true",
        help="draw substeps, too; JSON always has them",
    )
    parser.add_argument(
        "--physical",
        action="store_true",
        help="list what the engine really runs instead",
    )
    return parser.parse_args()


def _draw() -> None:
    args = _parse_args()
    flow = locate_dataflow(*prepare_import(args.import_str))
    if args.physical:
        sys.stdout.write(to_physical(flow) + "\n")
        return
    formats: dict[str, Callable[[], str]] = {
        "json": lambda: to_json(flow),
        "mermaid": lambda: to_mermaid(flow, args.recursive),
        "plantuml": lambda: to_plantuml(flow, args.recursive),
    }
    sys.stdout.write(formats[args.output_format]() + "\n")


def main() -> NoReturn:
    """Write a picture of the dataflow that the command line names, and exit."""
    sys.exit(exit_code_of(_draw))


if __name__ == "__main__":
    main()
