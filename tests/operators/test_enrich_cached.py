from datetime import datetime, timedelta, timezone

import millstream.operators as op
import pytest
from millstream.operators import TTLCache
from millstream.testing import TimeTestingGetter

HOUR = timedelta(hours=1)
NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)


class Getter:
    """Returns what the key stands for, and remembers that it was asked."""

    def __init__(self, values):
        self.values = values
        self.asked = []

    def __call__(self, key):
        self.asked.append(key)
        return self.values[key]


@pytest.fixture
def getter():
    return Getter({"a": 1, "b": None})


@pytest.fixture
def clock():
    return TimeTestingGetter(NOW)


def get_each(cache, x):
    return x, cache.get(x)


def test_a_cache_asks_once(getter, clock):
    cache = TTLCache(getter, clock.get, HOUR)
    assert [cache.get(k) for k in "aab"] == [1, 1, None]
    assert getter.asked == ["a", "b"]


def test_none_is_cached(getter, clock):
    cache = TTLCache(getter, clock.get, HOUR)
    assert [cache.get("b"), cache.get("b")] == [None, None]
    assert getter.asked == ["b"]


def test_a_value_is_used_up_to_its_ttl(getter, clock):
    cache = TTLCache(getter, clock.get, HOUR)
    cache.get("a")
    getter.values["a"] = 2
    clock.advance(HOUR)
    assert cache.get("a") == 1
    clock.advance(timedelta(microseconds=1))
    assert cache.get("a") == 2
    clock.advance(HOUR)
    assert cache.get("a") == 2
    assert getter.asked == ["a", "a"]


def test_a_removed_value_is_asked_for_again(getter, clock):
    cache = TTLCache(getter, clock.get, HOUR)
    cache.get("a")
    cache.remove("a")
    cache.get("a")
    assert getter.asked == ["a", "a"]


def test_to_remove_what_is_not_there_is_an_error(getter, clock):
    with pytest.raises(KeyError, match=r"^'a'$"):
        TTLCache(getter, clock.get, HOUR).remove("a")


def test_an_error_is_not_cached(clock):
    getter = Getter({})
    cache = TTLCache(getter, clock.get, HOUR)
    for _ in range(2):
        with pytest.raises(KeyError):
            cache.get("a")
    assert getter.asked == ["a", "a"]


def test_each_key_is_asked_for_once(evaluate, getter):
    out = evaluate(
        ["a", "b", "a", "b"], lambda up: op.enrich_cached("step", up, getter, get_each)
    )
    assert out == [("a", 1), ("b", None), ("a", 1), ("b", None)]
    assert getter.asked == ["a", "b"]


@pytest.mark.parametrize(("batch_size", "asked"), [(1, 4), (2, 2), (4, 1)])
def test_no_time_passes_within_a_batch(evaluate, clock, getter, batch_size, asked):
    def later():
        clock.advance(2 * HOUR)
        return clock.get()

    evaluate(
        "aaaa",
        lambda up: op.enrich_cached(
            "step", up, getter, get_each, ttl=HOUR, _now_getter=later
        ),
        batch_size,
    )
    assert len(getter.asked) == asked


def test_workers_share_one_cache(evaluate, getter):
    def add_steps(up):
        spread = op.redistribute("spread", up)
        return op.enrich_cached("step", spread, getter, get_each)

    out = evaluate(["a"] * 200, add_steps, batch_size=10)
    assert out == [("a", 1)] * 200
    # Workers don't wait for each other, so each may ask once at the beginning.
    assert 1 <= len(getter.asked) <= 3


def test_each_step_has_a_cache_of_its_own(evaluate, getter):
    def add_steps(up):
        first = op.enrich_cached("first", up, getter, get_each)
        keys = op.key_rm("keys", op.map("swap", first, lambda x: ("", x[0])))
        return op.enrich_cached("second", keys, getter, get_each)

    assert evaluate(["a", "a"], add_steps) == [("a", 1), ("a", 1)]
    assert getter.asked == ["a", "a"]


@pytest.mark.parametrize(
    "add_steps",
    [
        lambda up: op.enrich_cached("step", up, {}.__getitem__, get_each),
        lambda up: op.enrich_cached("step", up, str, lambda _cache, x: {}[x]),
    ],
    ids=["getter", "mapper"],
)
def test_the_error_of_the_user_is_the_cause(fail, add_steps):
    assert repr(fail(["a"], add_steps)) == "KeyError('a')"


def test_substeps(substep_ids):
    ids = substep_ids(lambda up: op.enrich_cached("step", up, str, get_each))
    assert ids == ["flow.step.flat_map_batch"]
