import re

import millstream.operators as op


def test_passes_the_items_on(evaluate):
    seen = []

    def inspector(step_id, item, epoch, worker):
        seen.append((step_id, item, type(epoch), type(worker)))

    out = evaluate([1, None], lambda up: op.inspect_debug("step", up, inspector))
    assert out == [1, None]
    assert seen == [("flow.step", 1, int, int), ("flow.step", None, int, int)]


def test_prints_step_worker_epoch_and_item_by_default(evaluate, capsys):
    evaluate(["x", 2], lambda up: op.inspect_debug("step", up))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"flow\.step W[0-2] @[1-9]\d*: 'x'", lines[0])
    assert re.fullmatch(r"flow\.step W[0-2] @[1-9]\d*: 2", lines[1])


def test_the_error_of_the_inspector_is_the_cause(fail):
    error = ZeroDivisionError("mine")

    def inspector(_step_id, _item, _epoch, _worker):
        raise error

    assert fail([1], lambda up: op.inspect_debug("step", up, inspector)) is error
