"""A source waits for a slow sink on another worker: memory doesn't grow."""

from __future__ import annotations

import pytest

from tests.slow_sink import check_memory


@pytest.mark.parametrize("item_size", [20_000, 200])
def test_memory_is_bounded(item_size):
    check_memory(item_size, 60)
