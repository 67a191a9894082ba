"""Prometheus metrics: what is counted as it happens, and what is looked up when somebody scrapes.

No label holds what a tenant or a client may choose: fleets and nodes are the operator's, types and
methods are those that are known. `docs/metrics.md` lists all of them.
"""

import asyncio
import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lbaas.model.enums import NodeState
from tidegate import __version__
from tidegate.nodes import NodeRegister, node_id
from xds.server import Totals
from xds.translate import VERSION

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: from what a member's change takes on one Envoy to what a slow monitor holds back."""

SCRAPE_SECONDS = 5.0
"""How long a scrape waits for the event loop before it fails."""

_Family = GaugeMetricFamily | CounterMetricFamily


class Metrics:
    """All metrics of one control plane, in a registry of its own.

    Attributes:
        registry: for those who want to read it in this process.
    """

    def __init__(
        self, nodes: NodeRegister, traffic: Totals, *, known: Callable[[str], bool]
    ) -> None:
        """Takes who knows the nodes, what the xDS server counts, and which fleets there are.

        A client may name any fleet as its own: `known` (by its id) is what makes it one. To be
        called in the event loop.
        """
        self.registry = CollectorRegistry()
        self._convergence = Histogram(
            "tidegate_convergence_seconds",
            "From the commit of a change to its confirmation by every counted node of the fleet.",
            ["fleet"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            "tidegate_api_requests_total",
            "Calls of the management API that have ended.",
            ["method", "code"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "tidegate_api_request_seconds",
            "How long calls of the management API took that are no streams.",
            ["method"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        build = Gauge(
            "tidegate_build_info",
            "Always 1; the labels say what runs.",
            ["version", "translator", "python"],
            registry=self.registry,
        )
        build.labels(__version__, str(VERSION), platform.python_version()).set(1)
        self.registry.register(_Fleets(nodes, traffic, known))

    def applied(self, fleet: str, revision: int, seconds: float) -> None:
        """Takes that a change became live on a fleet (its id), so long after its commit."""
        exemplar = {"revision": str(revision)}
        self._convergence.labels(fleet).observe(max(0.0, seconds), exemplar)

    def called(self, method: str, code: str, seconds: float | None) -> None:
        """Takes that a call of the API has ended (`api.calls.CallObserver`)."""
        self._requests.labels(method, code).inc()
        if seconds is not None:
            self._seconds.labels(method).observe(seconds)


class _Fleets(Collector):
    """What the streams and nodes are at the moment of a scrape.

    The library scrapes in a thread of its own; what it reads belongs to the event loop, so it is
    read there.
    """

    def __init__(self, nodes: NodeRegister, traffic: Totals, known: Callable[[str], bool]) -> None:
        self._known = known
        self._nodes = nodes
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def describe(self) -> Iterable[Metric]:
        """Gives the families without samples, so that registering them scrapes nothing."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Gives the families with their samples.

        Raises:
            TimeoutError: the event loop is busy or gone.
        """
        if threading.get_ident() == self._thread:
            return self._read()
        reading = asyncio.run_coroutine_threadsafe(self._read_there(), self._loop)
        return reading.result(SCRAPE_SECONDS)

    async def _read_there(self) -> Iterable[Metric]:
        return self._read()

    def _read(self) -> Iterable[Metric]:
        families = _families()
        self._count_pushes(families)
        self._count_nodes(families)
        return families.values()

    def _count_pushes(self, families: Mapping[str, _Family]) -> None:
        sizes: dict[str, int] = {}
        for (fleet, kind), traffic in self._traffic.by_type.items():
            _add(families["nack"], (fleet, kind), traffic.nacks)
            _add(families["pushes"], (fleet, kind), traffic.responses)
            sizes[fleet] = sizes.get(fleet, 0) + traffic.sent_bytes
        for fleet, size in sizes.items():
            _add(families["bytes"], (fleet,), size)

    def _count_nodes(self, families: Mapping[str, _Family]) -> None:
        now = time.monotonic()
        states: dict[str, dict[NodeState, int]] = {}
        for node in self._nodes.all():
            if not self._known(node.fleet):
                continue
            counts = states.setdefault(node.fleet, dict.fromkeys(NodeState, 0))
            stream = node.stream
            counts[self._nodes.state(node, rejects=bool(stream and stream.rejections))] += 1
            if stream is not None and stream.acked_at is not None:
                _add(families["age"], (node.fleet, node_id(node.name)), now - stream.acked_at)
        for fleet, counts in states.items():
            for state, number in counts.items():
                _add(families["nodes"], (fleet, state.value), number)


def _families() -> dict[str, _Family]:
    return {
        "nodes": GaugeMetricFamily(
            "tidegate_xds_nodes", "Nodes that are or were connected.", labels=("fleet", "state")
        ),
        "nack": CounterMetricFamily(
            "tidegate_xds_nack_total", "Responses that nodes refused.", labels=("fleet", "type")
        ),
        "pushes": CounterMetricFamily(
            "tidegate_xds_pushes_total", "Responses sent to nodes.", labels=("fleet", "type")
        ),
        "bytes": CounterMetricFamily(
            "tidegate_xds_push_bytes_total",
            "Bytes of the responses sent to nodes, before HTTP/2 framing.",
            labels=("fleet",),
        ),
        "age": GaugeMetricFamily(
            "tidegate_node_last_ack_age_seconds",
            "How long ago a connected node last accepted a response.",
            labels=("fleet", "node"),
        ),
    }


def _add(family: _Family, labels: tuple[str, ...], value: float) -> None:
    family.add_metric(labels, value)
