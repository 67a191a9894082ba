"""The choice: the best fleet that fits, the same for any order, and why."""

from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.objects import Capabilities
from tests.model.samples import TREE
from tests.scheduler.samples import DEFAULT, GOLD, candidate, living_on
from xds.scheduler import choose, fits


def test_without_fleets_the_reason_says_what_to_do():
    decision = choose(TREE, DEFAULT, [])
    assert decision.fleet == ""
    assert decision.reason == "no fleets are registered; an operator must create one"


def test_no_fit_joins_every_refusal():
    decision = choose(
        TREE, DEFAULT, [candidate("b", draining=True), candidate("a", max_pools=1, pools=1)]
    )
    assert decision.fleet == ""
    assert decision.reason == (
        "fleets/a: is full: it carries 1 of at most 1 pools"
        " | fleets/b: is draining and takes no new pools"
    )
    assert [each.fleet for each in decision.refusals] == ["fleets/a", "fleets/b"]


def test_a_tenant_reads_nothing_of_another_projects_fleet():
    others = [candidate("secret", project="rival"), candidate("edge", draining=True)]
    decision = choose(TREE, DEFAULT, others)
    assert "secret" not in decision.reason
    assert "fleets/edge" in decision.reason
    assert [(each.fleet, each.hidden) for each in decision.refusals] == [
        ("fleets/edge", False),
        ("fleets/secret", True),
    ]
    alone = choose(TREE, DEFAULT, others[:1])
    assert alone.reason == (
        "no fleet is shared or belongs to project acme; an operator must create one"
    )


def test_many_refusals_are_cut_short():
    decision = choose(TREE, GOLD, [candidate(f"f{n:02}") for n in range(30)])
    assert decision.reason.endswith(" | and 10 more fleets")
    assert len(decision.refusals) == 30


def test_a_live_fleet_is_preferred_though_it_carries_more():
    decision = choose(TREE, DEFAULT, [candidate("a", live=0), candidate("b", live=2, pools=9)])
    assert decision.fleet == "fleets/b"
    assert decision.reason == (
        "fleets/b fits and has 2 live nodes, carries 9 pools; preferred to fleets/a"
        " (has no live node yet, carries 0 pools)"
    )


def test_without_any_live_node_the_pool_is_placed_all_the_same():
    decision = choose(TREE, DEFAULT, [candidate("a", live=0)])
    assert decision.fleet == "fleets/a"
    assert "no live node yet" in decision.reason
    assert decision.reason.endswith("; no other fleet fits")


def test_the_load_counts_per_live_node():
    big, small = candidate("a", live=10, pools=20), candidate("b", live=1, pools=3)
    assert choose(TREE, DEFAULT, [small, big]).fleet == "fleets/a"


def test_a_projects_own_fleet_is_preferred():
    own = candidate("z", project="acme", pools=9)
    decision = choose(TREE, DEFAULT, [candidate("a"), own])
    assert decision.fleet == "fleets/z"
    assert "is the project's own" in decision.reason


def test_a_tie_goes_by_name():
    assert choose(TREE, DEFAULT, [candidate("b"), candidate("a")]).fleet == "fleets/a"


def test_a_pool_stays_where_it_fits_for_the_reason_it_had():
    tree = living_on("fleets/b", "chosen long ago")
    decision = choose(tree, DEFAULT, [candidate("a"), candidate("b", live=0, pools=99)])
    assert (decision.fleet, decision.reason) == ("fleets/b", "chosen long ago")


def test_a_pool_moves_when_it_fits_no_more():
    nothing = Capabilities()
    decision = choose(
        living_on("fleets/b"), DEFAULT, [candidate("a"), candidate("b", offered=nothing)]
    )
    assert decision.fleet == "fleets/a"


candidates = st.lists(
    st.builds(
        candidate,
        st.sampled_from("abcdef"),
        live=st.integers(0, 3),
        offered=st.sampled_from([EVERYTHING, Capabilities()]),
        project=st.sampled_from(["", "acme", "rival"]),
        draining=st.booleans(),
        pools=st.integers(0, 3),
        max_pools=st.integers(0, 3),
        service_types=st.sampled_from([(), ("serviceTypes/gold",)]),
    ),
    max_size=6,
    unique_by=lambda each: each.fleet.name,
)


@given(candidates, st.randoms())
def test_the_choice_is_the_same_in_any_order_and_always_fits(fleets, random):
    decision = choose(TREE, DEFAULT, fleets)
    shuffled = list(fleets)
    random.shuffle(shuffled)
    assert choose(TREE, DEFAULT, shuffled) == decision
    fitting = {each.fleet.name for each in fleets if not fits(TREE, DEFAULT, each)}
    assert bool(decision.fleet) == bool(fitting)
    assert not decision.fleet or decision.fleet in fitting
    assert {each.fleet for each in decision.refusals} == {f.fleet.name for f in fleets} - fitting
    assert decision.reason
    assert all(each.why for each in decision.refusals)


@given(candidates, st.sampled_from("abcdef"))
def test_choosing_again_changes_nothing(fleets, home):
    first = choose(living_on(f"fleets/{home}"), DEFAULT, fleets)
    if first.fleet:
        again = choose(living_on(first.fleet, first.reason), DEFAULT, fleets)
        assert (again.fleet, again.reason) == (first.fleet, first.reason)
