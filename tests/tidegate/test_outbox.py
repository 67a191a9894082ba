"""What a log says of verdicts that could not be stored."""

from tests.store import make
from tidegate.outbox import Outbox
from tidegate.rendering import Place
from xds.cache.types import CLUSTER, LISTENER, Key


def test_the_names_are_told_and_nothing_else():
    vip = make.vip("v").name
    refused = make.rejection(vip, (vip, 1), last_good=b"secret")
    outbox = Outbox(
        live={"projects/acme/pools/p": 3},
        rejected={(refused.fleet, "n1", Key(LISTENER, vip)): refused},
        buried={Place("edge", Key(CLUSTER, "projects/acme/pools/old")): 4},
    )
    assert outbox.about() == ["projects/acme/pools/old", "projects/acme/pools/p", vip]
