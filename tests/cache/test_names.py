"""A set that is kept as differences is a set."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.messages import cluster
from xds.cache.names import Names

EVERYTHING = {f"n{index}": cluster("x") for index in range(300)}
SOME = st.sets(st.sampled_from(sorted(EVERYTHING)))
STEPS = st.lists(st.tuples(st.sampled_from(["update", "remove", "follow"]), SOME), max_size=12)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(steps=STEPS, first=SOME)
def test_it_behaves_as_a_set(steps, first):
    names, model, known = Names(), set(), {name: EVERYTHING[name] for name in first}
    for what, some in steps:
        if what == "update":
            names.update(some)
            model |= some
        elif what == "remove":
            names.remove(some)
            model -= some
        else:
            later = {name: EVERYTHING[name] for name in some}
            names.follow(later, known.keys() ^ later.keys())
            known = later
        assert set(names) == model
        assert len(names) == len(model)
        assert all((name in names) == (name in model) for name in EVERYTHING)


def test_who_asks_for_all_there_is_costs_nothing_and_neither_does_who_asks_for_little():
    names = Names()
    names.update(EVERYTHING)
    names.follow(EVERYTHING, ())
    assert names.differences == 0
    few = Names()
    few.update(["n1", "n2"])
    few.follow(EVERYTHING, ())
    assert few.differences == 2
    names.remove(EVERYTHING)
    names.follow(EVERYTHING, ())
    assert names.differences == 0
