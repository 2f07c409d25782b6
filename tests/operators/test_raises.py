import millstream.operators as op


def raises(up):
    op.raises("step", up)
    return op.filter("rest", up, lambda _: False)


def test_an_item_is_an_error(fail):
    cause = fail(["x"], raises)
    assert isinstance(cause, RuntimeError)
    assert str(cause) == "`raises` step `flow.step` got an item: 'x'"


def test_a_private_item_is_not_shown(fail, monkeypatch):
    monkeypatch.setenv("MILLSTREAM_SHOW_ITEMS", "0")
    assert str(fail(["secret"], raises)) == (
        "`raises` step `flow.step` got an item: a `str` (hidden)"
    )


def test_no_item_is_no_error(evaluate):
    assert evaluate([], raises) == []


def test_substeps(substep_ids):
    assert substep_ids(raises) == ["flow.step.output"]
