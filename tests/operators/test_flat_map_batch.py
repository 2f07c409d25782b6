import millstream.operators as op
import pytest


def flat_map_batch(mapper):
    return lambda up: op.flat_map_batch("step", up, mapper)


def test_mapper_gets_whole_batches_as_lists(evaluate):
    batches = []

    def mapper(xs):
        batches.append(xs)
        return xs

    assert evaluate(range(5), flat_map_batch(mapper), batch_size=5) == [0, 1, 2, 3, 4]
    assert batches == [[0, 1, 2, 3, 4]]


def test_no_item_is_lost_or_doubled_between_batches(evaluate):
    assert evaluate(range(100), flat_map_batch(list), batch_size=7) == list(range(100))


@pytest.mark.parametrize(
    "mapper",
    [
        lambda xs: [x for x in xs if x > 1],
        lambda xs: (x for x in xs if x > 1),
        lambda xs: filter(lambda x: x > 1, xs),
        lambda xs: dict.fromkeys(x for x in xs if x > 1),
    ],
    ids=["list", "generator", "iterator", "dict"],
)
def test_mapper_may_return_any_iterable(evaluate, mapper):
    assert evaluate([1, 2, 3], flat_map_batch(mapper)) == [2, 3]


def test_a_string_is_an_iterable_of_its_characters(evaluate):
    assert evaluate(["ab", "c"], flat_map_batch("".join)) == ["a", "b", "c"]


def test_the_error_of_the_mapper_is_the_cause(fail):
    error = ZeroDivisionError("mine")

    def mapper(_xs):
        raise error

    assert fail([1], flat_map_batch(mapper)) is error


def test_an_error_within_the_iteration_is_the_cause(fail):
    error = ZeroDivisionError("mine")

    def mapper(xs):
        yield from xs
        raise error

    assert fail([1], flat_map_batch(mapper)) is error


def test_the_error_of_what_makes_it_iterable_is_the_cause(fail):
    error = ValueError("mine")

    class Lazy:
        def __iter__(self):
            raise error

    assert fail([1], flat_map_batch(lambda _xs: Lazy())) is error


def test_mapper_must_return_an_iterable(fail):
    assert isinstance(fail([1], flat_map_batch(len)), TypeError)


def test_is_a_core_operator(substep_ids):
    assert substep_ids(flat_map_batch(list)) == []
