"""Operators on windows: results for each stretch of time, of each key.

Import this module as `win`. Each operator takes a clock, which says what time it is,
and a windower, which divides time into windows:

    import millstream.operators.windowing as win

    clock = win.EventClock(lambda order: order.at, timedelta(seconds=10))
    windower = win.TumblingWindower(timedelta(minutes=1), align_to=START)
    counts = win.count_window("count", orders, clock, windower, lambda o: o.shop)

It returns a `WindowOut` of three streams: `down` has the results, `late` the values
that came too late for their windows, and `meta` the times of windows. `window` takes
user-written logic for each window; clocks and windowers can be user-written as well.
"""

from millstream.operators.windowing._types import (
    LATE_SESSION_ID,
    SC,
    SW,
    UTC_MAX,
    UTC_MIN,
    ZERO_TD,
    C,
    S,
    V,
    W,
    WindowMetadata,
    WindowOut,
)
from millstream.operators.windowing.aggregate_window import aggregate_window
from millstream.operators.windowing.clocks import (
    Clock,
    ClockLogic,
    EventClock,
    SystemClock,
)
from millstream.operators.windowing.fold_window import (
    collect_window,
    count_window,
    fold_window,
    max_window,
    min_window,
    reduce_window,
)
from millstream.operators.windowing.join_window import join_window
from millstream.operators.windowing.window import WindowLogic, window
from millstream.operators.windowing.windowers import (
    SessionWindower,
    SlidingWindower,
    TumblingWindower,
    Windower,
    WindowerLogic,
)

__all__ = [
    "LATE_SESSION_ID",
    "SC",
    "SW",
    "UTC_MAX",
    "UTC_MIN",
    "ZERO_TD",
    "C",
    "Clock",
    "ClockLogic",
    "EventClock",
    "S",
    "SessionWindower",
    "SlidingWindower",
    "SystemClock",
    "TumblingWindower",
    "V",
    "W",
    "WindowLogic",
    "WindowMetadata",
    "WindowOut",
    "Windower",
    "WindowerLogic",
    "aggregate_window",
    "collect_window",
    "count_window",
    "fold_window",
    "join_window",
    "max_window",
    "min_window",
    "reduce_window",
    "window",
]
