"""Traffic: exact, summed over nodes, and never falling, whoever is restarted or goes."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from lbaas.model.errors import Unavailable
from lbaas.model.reports import Traffic, TrafficSample
from lbaas.store import members, placements, pools, traffic, vips
from tests.store import make
from tests.tidegate.agents import M1, START, Agent
from tests.tidegate.world import POOL, VIP, World
from tidegate.agents.hub import GRACE
from tidegate.agents.ledger import Ledger
from tidegate.agents.traffic import Counts

LATER = START + timedelta(minutes=5)


def counted(requests: int, *, active: int = 0) -> Traffic:
    return Traffic(
        bytes_in=requests * 100,
        bytes_out=requests * 1000,
        active_connections=active,
        total_connections=requests,
        requests=requests,
        errors=0,
        refused_connections=0,
    )


def requests(world: World, name: str = VIP) -> int:
    return world.view.traffic(name).traffic.requests


async def two(world: World) -> list[Agent]:
    await world.ready("member", "vip")
    world.connect(world.node("n2"))
    await world.settle()
    return [Agent(world), Agent(world, "n2")]


async def test_figures_are_summed_over_nodes_and_say_how_many_report(world: World):
    await world.ready("member", "vip")
    assert world.view.traffic(VIP) is None
    agent = Agent(world)
    assert world.view.traffic(VIP) is None
    agent.report(traffic={VIP: counted(3, active=1), POOL: counted(4), M1: counted(4)}, at=7)
    world.connect(world.node("n2"))
    await world.settle()
    other = Agent(world, "n2")
    found = world.view.traffic(VIP)
    assert (found.traffic, found.reporting, found.total) == (counted(3, active=1), 1, 2)
    assert found.time == START + timedelta(seconds=7)
    other.report(traffic={VIP: counted(10, active=2)})
    assert world.view.traffic(VIP).traffic == counted(13, active=3)
    assert world.view.traffic(VIP).reporting == 2
    assert world.view.traffic(POOL).members == {M1: counted(4)}
    assert world.view.traffic(M1).traffic == counted(4)


async def test_what_is_open_is_of_agents_that_are_there_alone(world: World):
    one, other = await two(world)
    one.report(traffic={VIP: counted(5, active=5)})
    other.report(traffic={VIP: counted(7, active=7)})
    one.session.close()
    found = world.view.traffic(VIP)
    assert (found.traffic, found.reporting) == (counted(12, active=7), 1)
    other.report(running=False)
    assert world.view.traffic(VIP).traffic == counted(12)


async def test_an_envoy_that_is_started_anew_counts_on(world: World):
    one, other = await two(world)
    one.report(traffic={VIP: counted(100), POOL: counted(90)})
    other.report(traffic={VIP: counted(7)})
    one.start = LATER
    one.report(traffic={VIP: counted(2)})
    assert requests(world) == 109
    assert requests(world, POOL) == 90  # nothing was said of it since
    one.report(traffic={VIP: counted(5)})
    assert requests(world) == 112
    one.start = LATER + timedelta(seconds=1)  # the same, as far as an agent can tell
    one.report(traffic={VIP: counted(6)})
    assert requests(world) == 113


async def test_a_counter_that_fell_was_begun_anew(world: World):
    one, _ = await two(world)
    one.report(traffic={VIP: counted(100)})
    one.report(traffic={VIP: counted(1)})
    assert requests(world) == 101


async def test_an_agent_that_is_started_anew_says_the_same_and_that_is_no_more(world: World):
    one, _ = await two(world)
    one.report(traffic={VIP: counted(100)})
    one.session.close()
    one.connect()
    one.report(traffic={VIP: counted(100)}, whole=True)
    assert requests(world) == 100


async def test_a_new_process_goes_on_from_what_was_saved(world: World):
    one, other = await two(world)
    one.report(traffic={VIP: counted(100, active=3), M1: counted(50)})
    other.report(traffic={VIP: counted(11)})
    await world.agents.ledger.flush()
    one.report(traffic={VIP: counted(120)})
    one.start = LATER
    one.report(traffic={VIP: counted(1)})
    assert requests(world) == 132
    await world.agents.ledger.flush()
    await world.settle()
    await world.restart()
    assert world.view.traffic(VIP).traffic == counted(132)
    assert world.view.traffic(VIP).reporting == 0
    for node in world.nodes:
        world.connect(node)
    one.connect()
    one.report(traffic={VIP: counted(4)}, whole=True)
    assert requests(world) == 135
    other.connect()
    other.start = LATER  # it was restarted while nobody looked
    other.report(traffic={VIP: counted(2)}, whole=True)
    assert requests(world) == 137
    assert requests(world, M1) == 50
    one.report(traffic={M1: counted(60)})  # by the Envoy that came later than its last figures
    assert requests(world, M1) == 110


def test_figures_of_an_older_envoy_are_the_base_in_whatever_order_they_are_read():
    old = {"n1": (START, counted(50), Traffic())}
    new = {"n1": (LATER, counted(7), counted(1))}
    for order in ([("a", old), ("b", new)], [("a", new), ("b", old)]):
        counts = Counts()
        for name, stored in order:
            counts.restore(name, stored)
        by_name = dict(order)
        assert _requests(counts, "a") + _requests(counts, "b") == 58
        samples = [TrafficSample(name=name, traffic=counted(60)) for name in "ab"]
        counts.take("n1", LATER, samples, names=str)
        expected = {name: 110 if stored is old else 61 for name, stored in by_name.items()}
        assert {name: _requests(counts, name) for name in "ab"} == expected


def _requests(counts: Counts, name: str) -> int:
    return counts.of(name, connected=lambda _: True).requests


async def test_only_what_changed_is_written_and_what_could_not_be_is_kept(
    world: World, monkeypatch
):
    one, _ = await two(world)
    one.report(traffic={VIP: counted(100), M1: counted(5)})
    ledger: Ledger = world.agents.ledger
    write, written = world.store.write, []

    async def away(work: object) -> None:
        raise Unavailable("the disk is gone")

    monkeypatch.setattr(world.store, "write", away)
    await ledger.flush_traffic()
    one.report(traffic={VIP: counted(110)})
    await ledger.flush_traffic()
    one.start = LATER
    one.report(traffic={VIP: counted(1)})
    await ledger.flush_traffic()
    monkeypatch.setattr(world.store, "write", write)
    await ledger.flush_traffic()
    await world.restart()
    assert (requests(world), requests(world, M1)) == (111, 5)

    async def counting(work):
        written.append(work)
        return await write(work)

    monkeypatch.setattr(world.store, "write", counting)
    await world.agents.ledger.flush_traffic()
    assert written == []


async def test_a_node_that_leaves_takes_nothing_with_it(world: World):
    one, other = await two(world)
    one.report(traffic={VIP: counted(100, active=9)})
    other.report(traffic={VIP: counted(1)})
    await world.agents.ledger.flush()
    one.session.close()
    world.disconnect(world.nodes[0])
    world.pass_time(31)
    world.agents.expire()
    assert world.view.traffic(VIP).traffic == counted(101)
    world.pass_time(24 * 3600)
    world.now += GRACE
    world.agents.expire()
    assert world.view.traffic(VIP).traffic == counted(101)
    await world.agents.ledger.flush()
    stored = (await world.store.read(traffic.totals))[VIP]
    assert set(stored) == {traffic.NO_NODE, other.name}
    await world.settle()
    await world.restart()
    assert requests(world) == 101


async def test_what_is_purged_is_forgotten_and_a_deleted_member_s_count_stays_in_its_pool(
    world: World,
):
    one, _ = await two(world)
    await world.write(lambda tx: members.create(tx, make.member(2)))
    await world.settle()
    one.report(traffic={POOL: counted(30), M1: counted(10), VIP: counted(31)})
    await world.agents.ledger.flush()
    await world.write(lambda tx: members.delete(tx, M1))
    await world.settle()
    one.report(traffic={M1: counted(11)})
    assert world.view.traffic(M1) is None
    assert requests(world, POOL) == 30
    await world.write(lambda tx: vips.delete(tx, VIP))
    await world.settle()
    await world.write(lambda tx: pools.delete(tx, POOL, force=True))
    await world.settle()
    await world.agents.ledger.flush()
    assert await world.store.read(traffic.totals) == {}
    counts = world.agents.ledger.counts
    assert counts._base == {}
    assert all(not each.figures for each in counts._nodes.values())


async def test_a_pool_that_moves_keeps_its_figures(world: World):
    one, _ = await two(world)
    one.report(traffic={VIP: counted(100)})
    await world.write(lambda tx: placements.drop(tx, POOL))
    await world.catch_up()
    assert requests(world) == 100


# -- whatever happens ------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["count", "count", "count", "restart", "save", "fail", "fail_late", "process"]
        ),
        st.sampled_from(["n1", "n2"]),
        st.integers(0, 50),
    ),
    max_size=25,
)


class Plain:
    """What a store does with the figures of one object, and the Envoys that count."""

    def __init__(self) -> None:
        self.counts, self.account = Counts(), 0
        self.stored: dict[str, list] = {}
        self.envoys = {"n1": [START, 0], "n2": [START, 0]}

    def count(self, node: str, number: int) -> None:
        self.envoys[node][1] += number
        self.account += number
        start, figures = self.envoys[node]
        sample = TrafficSample(name="v", traffic=counted(figures))
        self.counts.take(node, start, [sample], names=str)

    def restart(self, node: str, _: int) -> None:
        self.envoys[node] = [self.envoys[node][0] + timedelta(minutes=1), 0]

    def fail(self, *_: object) -> None:
        self.counts.not_saved(self.counts.unsaved())

    def fail_late(self, node: str, number: int) -> None:
        """The store says no when that Envoy has ended already."""
        unsaved = self.counts.unsaved()
        self.restart(node, 0)
        self.count(node, number)
        self.counts.not_saved(unsaved)

    def save(self, *_: object) -> None:
        unsaved = self.counts.unsaved()
        for wave in (*unsaved.ended, unsaved.now):
            for _name, node, start, figures in wave:
                was = self.stored.setdefault(node, [start, figures, Traffic()])
                if start != was[0] or figures.requests < was[1].requests:
                    was[2] = counted(was[2].requests + was[1].requests)
                was[0], was[1] = start, figures

    def process(self, *_: object) -> None:
        self.save()
        self.counts = Counts()
        self.counts.restore("v", {node: tuple(row) for node, row in self.stored.items()})


@given(STEPS)
def test_the_sum_is_what_passed_whatever_is_restarted_and_saved(steps):
    """Against a plain account. A process that ends saves first, as ours does."""
    plain = Plain()
    for what, node, number in steps:
        getattr(plain, what)(node, number)
        found = plain.counts.of("v", connected=lambda _: True)
        assert (found.requests if found else 0) == plain.account
