"""`enrich_cached`: look things up elsewhere, and remember them for a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Generic

from millstream.dataflow import Stream, operator
from millstream.operators._types import DK, DV, X, Y
from millstream.operators.flat_map_batch import flat_map_batch

__all__ = ["TTLCache", "enrich_cached"]


@dataclass
class TTLCache(Generic[DK, DV]):
    """Values by key, each looked up anew when it has become too old.

    Several threads may use one cache. It holds no lock while it looks something up,
    so two of them may look up the same key at once; the later result stays.

    The cache keeps all keys until they are removed.

    Args:
        v_getter: Called with a key; returns its value, which may be None.
        now_getter: Returns the time now.
        ttl: How old a value may become; it is used up to and at this age.

    Examples:
        >>> from datetime import datetime, timedelta, timezone
        >>> from millstream.testing import TimeTestingGetter
        >>> def look_up(key):
        ...     print("looking up", key)
        ...     return key.upper()
        >>> clock = TimeTestingGetter(datetime(2024, 1, 1, tzinfo=timezone.utc))
        >>> cache = TTLCache(look_up, clock.get, timedelta(minutes=1))
        >>> cache.get("a")
        looking up a
        'A'
        >>> cache.get("a")
        'A'
        >>> clock.advance(timedelta(minutes=2))
        >>> cache.get("a")
        looking up a
        'A'
    """

    v_getter: Callable[[DK], DV]
    now_getter: Callable[[], datetime]
    ttl: timedelta
    _cache: dict[DK, tuple[datetime, DV]] = field(default_factory=dict)

    def get(self, k: DK) -> DV:
        """Get a value, from the cache if it is there and young enough.

        Args:
            k: The key.

        Returns:
            The value.
        """
        now = self.now_getter()
        cached = self._cache.get(k)
        if cached is not None:
            stored_at, value = cached
            if now - stored_at <= self.ttl:
                return value
        value = self.v_getter(k)
        self._cache[k] = (now, value)
        return value

    def remove(self, k: DK) -> None:
        """Forget a value, so that the next `get` looks it up.

        Args:
            k: The key.

        Raises:
            KeyError: If it is not in the cache.
        """
        del self._cache[k]


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


@operator
def enrich_cached(
    step_id: str,
    up: Stream[X],
    getter: Callable[[DK], DV],
    mapper: Callable[[TTLCache[DK, DV], X], Y],
    ttl: timedelta = timedelta.max,
    _now_getter: Callable[[], datetime] = _utc_now,
) -> Stream[Y]:
    """Transform each item with the help of values that are costly to get.

    The values are kept in one cache for this step, which all worker threads of a
    process share. No thread waits for another, so several may get the same value at
    once; `getter` must be safe to call from all of them. The cache is not part of
    any snapshot: a resumed dataflow gets everything again.

    Args:
        step_id: The id of this step.
        up: The items.
        getter: Called with a key; gets its value from wherever it is. It blocks the
            worker meanwhile.
        mapper: Called with the cache and each item; returns the new item. Use
            `TTLCache.get` in it.
        ttl: For how long to use a value without getting it again. The default is
            for ever. Within a batch, no time passes.

    Returns:
        The new items, in the same order.

    Examples:
        >>> import millstream.operators as op
        >>> from datetime import timedelta
        >>> from millstream.dataflow import Dataflow
        >>> from millstream.testing import TestingSink, TestingSource, run_main
        >>> def get_name(user_id):
        ...     print("asking for", user_id)
        ...     return {1: "ann", 2: "bob"}[user_id]
        >>> flow = Dataflow("enrich_cached_example")
        >>> ids = op.input("ids", flow, TestingSource([1, 2, 1]))
        >>> names = op.enrich_cached(
        ...     "names",
        ...     ids,
        ...     get_name,
        ...     lambda cache, user_id: cache.get(user_id),
        ...     ttl=timedelta(hours=1),
        ... )
        >>> out = []
        >>> op.output("out", names, TestingSink(out))
        >>> run_main(flow)
        asking for 1
        asking for 2
        >>> out
        ['ann', 'bob', 'ann']
    """
    stored: dict[DK, tuple[datetime, DV]] = {}

    def enrich_batch(xs: list[X]) -> list[Y]:
        now = _now_getter()
        # One for each batch, all with the same values: the time of one batch must
        # not change while another thread begins its own.
        cache = TTLCache(getter, lambda: now, ttl, stored)
        return [mapper(cache, x) for x in xs]

    return flat_map_batch("flat_map_batch", up, enrich_batch)
