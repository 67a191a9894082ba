"""Objects as tests need them: good, short to write, all in project `acme` unless named."""

from datetime import UTC, datetime, timedelta

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol
from lbaas.model.objects import Fleet, HealthMonitor, Member, Node, Pool, Rejection, Vip
from lbaas.store import fleets, placements, pools
from lbaas.store.transaction import Transaction

POOL = "projects/acme/pools/web"
EDGE = "fleets/edge"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def pool(name: str = POOL, **fields: object) -> Pool:
    given = {"protocol": Protocol.HTTP, "lb_method": LbMethod.ROUND_ROBIN, **fields}
    return Pool(name=name, **given)


def member(number: int = 1, *, pool: str = POOL, **fields: object) -> Member:
    address = f"10.1.{number // 250}.{number % 250 + 1}"
    given = {"name": f"{pool}/members/m{number}", "address": address, "port": 80, **fields}
    return Member(**given)


def monitor(name: str = "tcp", *, project: str = "acme", **fields: object) -> HealthMonitor:
    given = {
        "type": HealthMonitorType.TCP,
        "delay": timedelta(seconds=2),
        "timeout": timedelta(seconds=1),
        "max_retries": 2,
        **fields,
    }
    return HealthMonitor(name=f"projects/{project}/healthMonitors/{name}", **given)


def vip(name: str = "v", *, project: str = "acme", **fields: object) -> Vip:
    given = {"pool": POOL, "protocol": Protocol.HTTP, "port": 80, **fields}
    return Vip(name=f"projects/{project}/vips/{name}", **given)


def fleet(name: str = EDGE, **fields: object) -> Fleet:
    given = {"vip_ranges": ("10.0.0.0/29",), "service_types": ("serviceTypes/default",), **fields}
    return Fleet(name=name, **given)


def node(name: str = "n1", *, fleet: str = EDGE, **fields: object) -> Node:
    """A node that counts, and whose agent can ping."""
    given = {"envoy_version": "1.40.0", "counted": True, "agent": True, "ping": True, **fields}
    return Node(name=f"{fleet}/nodes/{name}", last_seen=NOON, **given)


def rejection(resource: str, *objects: tuple[str, int], **fields: object) -> Rejection:
    given = {
        "fleet": EDGE,
        "node": f"{EDGE}/nodes/n1",
        "type_url": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "version": "abc",
        "message": "cannot bind",
        "time": NOON,
        **fields,
    }
    return Rejection(resource=resource, objects=objects, **given)


def placed_pool(tx: Transaction, name: str = POOL, *, on: Fleet | None = None) -> Pool:
    """A stored pool on a stored fleet."""
    fleets.create(tx, on or fleet())
    pools.create(tx, pool(name))
    placements.place(tx, name, fleet=(on or fleet()).name, reason="the only one")
    return pools.get(tx, name)
