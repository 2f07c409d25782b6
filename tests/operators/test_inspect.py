import millstream.operators as op


def test_passes_the_items_on(evaluate):
    seen = []

    def inspector(step_id, item):
        seen.append((step_id, item))

    out = evaluate([1, None], lambda up: op.inspect("step", up, inspector))
    assert out == [1, None]
    assert seen == [("flow.step", 1), ("flow.step", None)]


def test_prints_step_and_item_by_default(evaluate, capsys):
    evaluate(["x", 2], lambda up: op.inspect("step", up))
    assert capsys.readouterr().out == "flow.step: 'x'\nflow.step: 2\n"


def test_the_error_of_the_inspector_is_the_cause(fail):
    error = ZeroDivisionError("mine")

    def inspector(_step_id, _item):
        raise error

    assert fail([1], lambda up: op.inspect("step", up, inspector)) is error


def test_substeps(substep_ids):
    ids = substep_ids(lambda up: op.inspect("step", up))
    assert ids == ["flow.step.inspect_debug"]
