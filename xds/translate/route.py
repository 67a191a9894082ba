"""An HTTP VIP's routes: what may change without cutting a connection lives here, not in LDS.

Figures in the comments were measured on Envoy 1.40.0.
"""

from collections.abc import Iterable
from typing import Final

from envoy.config.route.v3.route_components_pb2 import RetryPolicy
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate

from lbaas.model.objects import Member, Vip
from xds.translate.extension import packed
from xds.translate.persistence import fill_route, is_cookie

_RETRIES: Final = 2
_HOST_ATTEMPTS: Final = 5


def build_route(
    vip: Vip, members: Iterable[Member], *, cluster: str, hashed: bool
) -> RouteConfiguration:
    """Gives the routes of an HTTP VIP: everything to one cluster, whose endpoints `members` are.

    `hashed`: the cluster chooses by hash, so the request must bring the client's address.
    """
    config = RouteConfiguration()
    config.CopyFrom(_DEFAULTS)
    config.name = vip.name
    route = config.virtual_hosts[0].routes[0]
    route.route.cluster = cluster
    if hashed:
        route.route.hash_policy.add().connection_properties.source_ip = True
    if vip.session_persistence is not None and is_cookie(vip.session_persistence):
        fill_route(route, vip.session_persistence, members)
    return config


def _defaults() -> RouteConfiguration:
    config = RouteConfiguration()
    host = config.virtual_hosts.add(name="all", domains=["*"])
    route = host.routes.add()
    route.match.prefix = "/"
    # Envoy cuts an answer that takes more than 15 s; how long a request may take is the
    # tenant's to say. Streams that stand still end by the listener's stream_idle_timeout.
    route.route.timeout.SetInParent()
    route.route.retry_policy.CopyFrom(_retries())
    return config


def _retries() -> RetryPolicy:
    # The member has not seen the request in either case, so it is safe for every method
    # (`reset-before-request` is not). A dead member without a monitor: 20 % of the answers were
    # 503, and none with the predicate, which asks another member.
    policy = RetryPolicy(
        retry_on="connect-failure,refused-stream", host_selection_retry_max_attempts=_HOST_ATTEMPTS
    )
    policy.num_retries.value = _RETRIES
    predicate = policy.retry_host_predicate.add(name="envoy.retry_host_predicates.previous_hosts")
    predicate.typed_config.CopyFrom(packed(PreviousHostsPredicate()))
    return policy


_DEFAULTS: Final = _defaults()
