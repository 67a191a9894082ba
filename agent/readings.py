"""What Envoy's admin interface says, read into values: pure, no I/O.

The formats are those of Envoy 1.40. Fields that are zero or false are left out of its JSON, and
counters that nothing has moved yet are not there at all (deferred creation): absent reads as 0.
"""

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from agent.addresses import Endpoint, endpoint
from agent.counts import Counts
from lbaas.v1.agent_service_pb2 import MemberState

State: TypeAlias = "MemberState.Code.ValueType"
"""UP, DOWN or PENDING of `lbaas.v1.MemberState`."""

DRAINING: Final = "DRAINING"
"""The state of an Envoy after `/healthcheck/fail`."""

STATS_FILTER: Final = (
    r"^(listener|http|tcp|cluster)\..*\.("
    r"downstream_cx_(active|total|overflow|rx_bytes_total|tx_bytes_total)"
    r"|downstream_rq_(total|5xx)"
    r"|upstream_cx_(active|total|rx_bytes_total|tx_bytes_total|none_healthy"
    r"|connect_attempts_exceeded)"
    r"|upstream_rq_(total|5xx))$"
)
"""For `/stats?filter=`: what `values` needs. The server's filter saves 95 % of the answer."""


@dataclass(frozen=True, slots=True)
class ServerReading:
    """Who an Envoy is (`/server_info`): version, state, and since how many seconds it runs."""

    version: str
    state: str
    uptime: int
    fleet: str
    node: str


@dataclass(frozen=True, slots=True)
class HostReading:
    """A member in one cluster, as Envoy finds it.

    `timed_out`: the check that it fails was not answered in time. `counts` has no bytes: Envoy
    counts them per cluster alone.
    """

    state: State
    timed_out: bool
    counts: Counts


def server_reading(payload: bytes) -> ServerReading:
    """Reads `/server_info`."""
    found = json.loads(payload)
    node = found.get("node", {})
    parts = found["version"].split("/")
    return ServerReading(
        version=parts[1] if len(parts) > 1 else found["version"],
        state=found["state"],
        uptime=int(found["uptime_current_epoch"].removesuffix("s")),
        fleet=node.get("cluster", ""),
        node=node.get("id", ""),
    )


def host_readings(
    payload: bytes, clusters: Container[str]
) -> dict[tuple[str, Endpoint], HostReading]:
    """Reads `/clusters?format=json`: each member of these clusters, by cluster and address."""
    return {
        (cluster["name"], where): _host_reading(host)
        for cluster in json.loads(payload).get("cluster_statuses", ())
        if cluster["name"] in clusters
        for host in cluster.get("host_statuses", ())
        if (where := _where(host)) is not None
    }


def values(payload: bytes) -> dict[str, int]:
    """Reads `/stats?format=json`: counters and gauges by name."""
    return {
        entry["name"]: entry["value"]
        for entry in json.loads(payload)["stats"]
        if isinstance(entry.get("value"), int)
    }


def vip_counts(stats: Mapping[str, int], vip: str) -> Counts:
    """Gives what a VIP's listener has counted; `stats` as of `values`.

    The listener refuses connections over its limit before it counts them (`downstream_cx_overflow`
    moved, `downstream_cx_total` did not). Requests of HTTP; of TCP and HTTPS connections, among
    which Envoy does not tell the VIP's failed ones.
    """
    listener, http, tcp = f"listener.{vip}", f"http.{vip}", f"tcp.{vip}"
    take = stats.get
    connections = take(f"{listener}.downstream_cx_total", 0)
    return Counts(
        bytes_in=take(f"{http}.downstream_cx_rx_bytes_total", 0)
        + take(f"{tcp}.downstream_cx_rx_bytes_total", 0),
        bytes_out=take(f"{http}.downstream_cx_tx_bytes_total", 0)
        + take(f"{tcp}.downstream_cx_tx_bytes_total", 0),
        active_connections=take(f"{listener}.downstream_cx_active", 0),
        total_connections=connections,
        requests=take(f"{http}.downstream_rq_total", 0) + take(f"{tcp}.downstream_cx_total", 0),
        errors=take(f"{http}.downstream_rq_5xx", 0),
        refused_connections=take(f"{listener}.downstream_cx_overflow", 0),
    )


def cluster_counts(stats: Mapping[str, int], cluster: str) -> Counts:
    """Gives what a cluster has counted of traffic; health checks are not in it (measured).

    What goes up to members came in from clients. Requests are those that reached a member, tried
    again ones each time, and those that no member was there for. Errors: answered 5xx, by a
    member or by Envoy in its place; of TCP, connections for which no member was found.
    All grow only: nothing is subtracted.
    """

    def take(name: str) -> int:
        return stats.get(f"cluster.{cluster}.{name}", 0)

    nobody = take("upstream_cx_none_healthy")
    return Counts(
        bytes_in=take("upstream_cx_tx_bytes_total"),
        bytes_out=take("upstream_cx_rx_bytes_total"),
        active_connections=take("upstream_cx_active"),
        total_connections=take("upstream_cx_total"),
        requests=take("upstream_rq_total") + nobody,
        # Of HTTP each `nobody` is a 503 too, of TCP there is no 5xx.
        errors=max(take("upstream_rq_5xx"), nobody + take("upstream_cx_connect_attempts_exceeded")),
    )


def warming_clusters(payload: bytes) -> Iterator[str]:
    """Reads `/config_dump?resource=dynamic_warming_clusters`: clusters that are not used yet.

    The gauge `cluster.<name>.warming_state` stayed 0 for one that warmed.
    """
    for entry in json.loads(payload).get("configs", ()):
        yield entry["cluster"]["name"]


def cluster_versions(payload: bytes) -> dict[str, str]:
    """Reads `/config_dump?resource=dynamic_active_clusters`, or warming ones: name and version.

    Of one whose update warms, the active ones have the old version and the warming ones the new.
    """
    return {
        entry["cluster"]["name"]: entry.get("version_info", "")
        for entry in json.loads(payload).get("configs", ())
    }


def listeners_wait(payload: bytes) -> bool:
    """Reads `/init_dump?mask=listener`: whether any listener waits for something."""
    return bool(json.loads(payload).get("unready_targets_dumps"))


def warming_listeners(payload: bytes) -> Iterator[str]:
    """Reads `/config_dump?resource=dynamic_listeners`: those with a version that still warms."""
    for listener in json.loads(payload).get("configs", ()):
        if "warming_state" in listener:
            yield listener["name"]


def _where(host: Mapping[str, Any]) -> Endpoint | None:
    address = host["address"].get("socket_address")
    return address and endpoint(address["address"], address["port_value"])


def _host_reading(host: Mapping[str, Any]) -> HostReading:
    health = host.get("health_status", {})
    if health.get("pending_active_hc"):
        # Only where the cluster has `ignore_new_hosts_until_first_hc`; failed is set as well.
        state = MemberState.PENDING
    elif health.get("failed_active_health_check"):
        state = MemberState.DOWN
    else:
        # EDS' own UNHEALTHY or DRAINING is what Envoy was told, not what it found.
        state = MemberState.UP
    stats = {entry["name"]: int(entry.get("value", 0)) for entry in host.get("stats", ())}
    counts = Counts(
        active_connections=stats.get("cx_active", 0),
        total_connections=stats.get("cx_total", 0),
        requests=stats.get("rq_total", 0),
        errors=stats.get("rq_error", 0),
    )
    return HostReading(state, bool(health.get("active_hc_timeout")), counts)
