"""The operators: the steps that a dataflow is made of.

Import this module as `op`, and give each step an id of its own:

    import millstream.operators as op

    doubled = op.map("double", numbers, lambda x: x * 2)

Steps that keep state need a *keyed* stream, of ``(key, value)`` 2-tuples; `key_on`
makes one. `millstream.dataflow.operator` makes further operators out of these.
"""

from millstream.operators._types import (
    DK,
    DV,
    KeyedStream,
    S,
    U,
    V,
    W,
    W_co,
    X,
    Y,
)
from millstream.operators.aggregate_final import aggregate_final
from millstream.operators.branch import BranchOut, branch
from millstream.operators.collect import collect
from millstream.operators.enrich_cached import TTLCache, enrich_cached
from millstream.operators.filter import filter, filter_value
from millstream.operators.filter_map import filter_map, filter_map_value
from millstream.operators.final import (
    count_final,
    fold_final,
    max_final,
    min_final,
    reduce_final,
)
from millstream.operators.flat_map import flat_map, flat_map_value, flatten
from millstream.operators.flat_map_batch import flat_map_batch
from millstream.operators.input import input
from millstream.operators.inspect import inspect
from millstream.operators.inspect_debug import inspect_debug
from millstream.operators.join import JoinEmitMode, JoinInsertMode, join
from millstream.operators.key import key_on, key_rm
from millstream.operators.map import map, map_value
from millstream.operators.merge import merge
from millstream.operators.output import output
from millstream.operators.raises import raises
from millstream.operators.redistribute import redistribute
from millstream.operators.stateful import StatefulLogic, stateful
from millstream.operators.stateful_batch import StatefulBatchLogic, stateful_batch
from millstream.operators.stateful_map import stateful_flat_map, stateful_map

__all__ = [
    "DK",
    "DV",
    "BranchOut",
    "JoinEmitMode",
    "JoinInsertMode",
    "KeyedStream",
    "S",
    "StatefulBatchLogic",
    "StatefulLogic",
    "TTLCache",
    "U",
    "V",
    "W",
    "W_co",
    "X",
    "Y",
    "aggregate_final",
    "branch",
    "collect",
    "count_final",
    "enrich_cached",
    "filter",
    "filter_map",
    "filter_map_value",
    "filter_value",
    "flat_map",
    "flat_map_batch",
    "flat_map_value",
    "flatten",
    "fold_final",
    "input",
    "inspect",
    "inspect_debug",
    "join",
    "key_on",
    "key_rm",
    "map",
    "map_value",
    "max_final",
    "merge",
    "min_final",
    "output",
    "raises",
    "redistribute",
    "reduce_final",
    "stateful",
    "stateful_batch",
    "stateful_flat_map",
    "stateful_map",
]
