"""The logical dataflow: a tree of operators joined by streams.

A [`Dataflow`][millstream.dataflow.Dataflow] is built by calling operator
functions (see `millstream.operators`) with it and with the streams they return.
Nothing runs while it is built; an entry point (`millstream.run`) hands the
finished tree to the engine, which reads it once.

Every operator is either *core*, which means that the engine knows how to run it,
or is *composed*: its body calls other operators, which become its substeps.
`operator` makes either kind from a plain function.
"""

from millstream._builder import (
    F,
    _Shape,  # noqa: F401
    operator,
)
from millstream._graph import (
    Dataflow,
    DataflowId,
    MultiPort,
    N,
    Operator,
    P,
    Port,
    R,
    SinglePort,
    Stream,
    X_co,
    _CoreOperator,  # noqa: F401 # The engine asks for it here.
    _MultiStream,  # noqa: F401
    _Scope,  # noqa: F401
    f_repr,
)

__all__ = [
    "Dataflow",
    "DataflowId",
    "F",
    "MultiPort",
    "N",
    "Operator",
    "P",
    "Port",
    "R",
    "SinglePort",
    "Stream",
    "X_co",
    "f_repr",
    "operator",
]
