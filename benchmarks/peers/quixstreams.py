"""Quix Streams, without Kafka: dataframe, state and windows, message by message.

Its parts are put together as its application does, and its loop is the same. What is
left out is what a broker would cost: topics, messages, changelogs, and the commits that
write state down. State is in its default store, in a directory that is removed.
"""

from __future__ import annotations

import contextvars
import importlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from benchmarks import map_filter as numbers
from benchmarks import windows
from benchmarks.engines import Batches, Write
from benchmarks.events import START
from benchmarks.limit import microseconds
from benchmarks.peers import Job, Prepare
from benchmarks.running_average import average

Frame = Any
"""A streaming dataframe; the package may not be installed."""

Message = tuple[Any, str, int]
"""Value, key, and milliseconds."""

TOPIC = "benchmark"
MILLISECOND = 1_000
"""Microseconds."""

FOREVER = 1e9
"""Seconds between commits."""


def module(name: str) -> Any:
    """A module of the package, which neither logs nor warns."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(record=True):
        return importlib.import_module(f"quixstreams.{name}")


class Runner:
    """A dataframe on one partition of a topic that no broker has."""

    def __init__(self) -> None:
        dataframe = module("dataframe")
        registry = dataframe.DataFrameRegistry()
        self._directory = tempfile.TemporaryDirectory(prefix="benchmarks-state-")
        self._state = module("state").StateStoreManager(
            group_id=TOPIC, state_dir=self._directory.name
        )
        self._state.init()
        self._context = module("processing").ProcessingContext(
            commit_interval=FOREVER,
            producer=None,
            consumer=None,
            state_manager=self._state,
            sink_manager=None,
            dataframe_registry=registry,
        )
        topics = module("models.topics")
        manager = topics.TopicManager(topic_admin=None, consumer_group=TOPIC)
        config = topics.TopicConfig(
            num_partitions=1,
            replication_factor=1,
            extra_config={"retention.ms": "-1", "cleanup.policy": "delete"},
        )
        topic = topics.Topic(TOPIC, topics.TopicType.REGULAR, create_config=config)
        topic.broker_config = config
        self.frame: Frame = dataframe.StreamingDataFrame(
            topic,
            topic_manager=manager,
            registry=registry,
            processing_context=self._context,
        )
        registry.register_root(self.frame)

    def run(self, frame: Frame, messages: Iterable[Message], take: Any) -> None:
        """Hand every message to the dataframe, as its application would."""
        execute = frame.compose(sink=take)[TOPIC]
        set_context = module("context").set_message_context
        message_context = module("models").MessageContext(TOPIC, 0, 0, 0)
        for stream in list(self._state.stores):
            self._state.on_partition_assign(stream, 0, {})
        self._context.init_checkpoint()
        for offset, (value, key, milliseconds) in enumerate(messages):
            context = contextvars.copy_context()
            context.run(set_context, message_context)
            context.run(execute, value, key, milliseconds, None)
            self._context.store_offset(TOPIC, 0, offset)


def job(
    runner: Runner,
    frame: Frame,
    messages: Iterable[Message],
    to_result: Callable[[Any, str], Any],
    write: Write,
) -> Job:
    """Run, and hand over each result by itself, as they come."""

    def take(value: Any, key: str, timestamp: int, headers: Any) -> None:  # noqa: ARG001
        write([to_result(value, key)])

    return Job(run=lambda: runner.run(frame, messages, take))


def map_filter(batches: Batches, write: Write) -> Job:
    """Two functions of the user's."""
    runner = Runner()
    doubled = runner.frame.apply(numbers.double)
    kept = doubled.filter(numbers.is_threefold)
    messages = ((number, "all", 0) for batch in batches for number in batch)
    return job(runner, kept, messages, lambda value, _: value, write)


def running_average(batches: Batches, write: Write) -> Job:
    """A function that gets and sets state."""
    runner = Runner()

    def update(reading: float, state: Any) -> float:
        following, mean = average(state.get("average"), reading)
        state.set("average", following)
        return mean

    frame = runner.frame.apply(update, stateful=True)
    messages = ((reading, key, 0) for batch in batches for key, reading in batch)
    return job(runner, frame, messages, lambda value, key: (key, value), write)


def window_sums(name: str, batches: Batches, write: Write) -> Job:
    """A reduction; an event far in the future closes the last windows of each key."""
    runner = Runner()
    length, offset, grace = windows.LENGTH, windows.OFFSET, windows.WAIT
    offset = windows.OFFSET if name == "sliding" else length
    defined = (
        runner.frame.hopping_window(length, offset, grace)
        if name == "sliding"
        else runner.frame.tumbling_window(length, grace)
    )
    reduced = defined.reduce(
        reducer=lambda sums, value: (sums[0] + 1, sums[1] + value),
        initializer=lambda value: (1, value),
    ).final(closing_strategy="key")
    first = microseconds(START) // MILLISECOND
    apart = offset // windows.LENGTH.resolution // MILLISECOND

    def messages() -> Iterable[Message]:
        keys: set[str] = set()
        latest = START
        for batch in batches:
            for key, (time, value) in batch:
                keys.add(key)
                latest = max(latest, time)
                yield value, key, microseconds(time) // MILLISECOND
        end = microseconds(latest + 3 * length) // MILLISECOND
        yield from ((0.0, key, end) for key in keys)

    def to_result(window: dict[str, Any], key: str) -> tuple[Any, ...]:
        count, total = window["value"]
        return (key, (window["start"] - first) // apart, count, total)

    return job(runner, reduced, messages(), to_result, write)


JOBS: dict[str, Prepare] = {
    "map_filter": map_filter,
    "running_average": running_average,
    "tumbling": partial(window_sums, "tumbling"),
    "sliding": partial(window_sums, "sliding"),
}
