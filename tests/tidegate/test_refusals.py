"""What each of many nodes refuses is found without a look at what the others do."""

from datetime import UTC, datetime

from lbaas.model.objects import Rejection
from tidegate.nodes import NodeRegister
from tidegate.outbox import Outbox
from tidegate.refusals import Refusals
from tidegate.rendering import Renderings
from tidegate.unsettled import Unsettleds
from xds.cache import LISTENER, Key, SnapshotCache

NODES, VIPS = 50, 20


class Counted(dict):
    """A dict that tells how much of it was looked at."""

    looks = 0

    def __iter__(self):
        for key in super().__iter__():
            self.looks += 1
            yield key

    def items(self):
        return ((key, self[key]) for key in self)

    def values(self):
        return (self[key] for key in self)


def refusal(node: int, vip: int) -> Rejection:
    name = f"projects/acme/vips/v{vip}"
    return Rejection(
        fleet="fleets/edge",
        node=f"fleets/edge/nodes/n{node}",
        type_url=LISTENER,
        resource=name,
        version="bad",
        message="cannot bind",
        objects=((name, 1),),
        time=datetime.now(UTC),
        last_good=b"",
        last_good_version="",
        translator_version="1",
    )


def test_a_nodes_refusals_are_found_and_forgotten_alone():
    cache, outbox = SnapshotCache(), Outbox()
    refusals = Refusals(
        cache=cache,
        renderings=Renderings(),
        nodes=NodeRegister(lost_after=30),
        unsettled=Unsettleds(cache),
        outbox=lambda: outbox,
    )
    refusals.restore(refusal(node, vip) for node in range(NODES) for vip in range(VIPS))
    every = refusals._rejections = Counted(refusals._rejections)
    assert [len(refusals.at("edge", f"n{node}")) for node in range(NODES)] == [VIPS] * NODES
    assert refusals.at("edge", "other") == refusals.at("far", "n1") == []
    refusals.clear(("fleets/edge", "n1", Key(LISTENER, "projects/acme/vips/v3")))
    assert len(refusals.at("edge", "n1")) == VIPS - 1
    refusals.forget_nodes({("fleets/edge", "n2")})
    assert refusals.at("edge", "n2") == []
    assert len(every) == (NODES - 1) * VIPS - 1
    assert every.looks == 0
    assert refusals.blamed() == {f"projects/acme/vips/v{vip}" for vip in range(VIPS)}
