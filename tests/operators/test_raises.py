import millstream.operators as op


def raises(up):
    op.raises("step", up)
    return op.filter("rest", up, lambda _: False)


def test_an_item_is_an_error(fail):
    cause = fail(["x"], raises)
    assert isinstance(cause, RuntimeError)
    assert str(cause) == "`raises` step `flow.step` got an item: 'x'"


def test_no_item_is_no_error(evaluate):
    assert evaluate([], raises) == []


def test_substeps(substep_ids):
    assert substep_ids(raises) == ["flow.step.output"]
