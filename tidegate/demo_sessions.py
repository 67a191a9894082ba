"""The demo's traffic: clients without a cookie, and two with one whose member is restarted.

Whether a member serves, Envoy's checks tell, not the cookie. So what a restart means to a client
depends on what it does meanwhile: one that asks for something is moved, with a new cookie, and
stays where it came; one that is away keeps the cookie it has, and is back where it was.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from lbaas.v1.status_pb2 import OperatingStatus
from tidegate.demo_checks import check_kept, check_moved, check_spread, check_stats
from tidegate.demo_failure import DemoFailure
from tidegate.demo_http import DemoClient, DemoMember, Reply
from tidegate.demo_processes import DemoNode
from tidegate.demo_tenant import Tenant
from tidegate.demo_words import happened, say, spread, statistics

_MANY = 60
_SOME = 20
_TRIES = 30
_CHECKED_WITHIN = 30.0
_TOLD_WITHIN = 10.0
"""Seconds; an agent repeats the failed check once to learn why."""
_COUNTED_WITHIN = 10.0
"""Seconds; agents read their Envoys' counters every two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the clients meet: a VIP that is live and serves."""

    tenant: Tenant
    vip: str
    pool: str
    address: str
    nodes: Sequence[DemoNode]
    members: Sequence[DemoMember]

    async def by_node(self) -> dict[str, int]:
        """Gives how many requests each node's Envoy has counted."""
        return {node.name: await node.requests(self.vip) for node in self.nodes}


async def show_traffic(scene: Scene) -> None:
    """Sends clients to the VIP, restarts a member under them, and checks what they meet.

    Raises:
        DemoFailure: it is not as it should be.
    """
    clients = [
        DemoClient("anybody", scene.address, keeps_cookies=False),
        DemoClient("ann", scene.address, keeps_cookies=True),
        DemoClient("bob", scene.address, keeps_cookies=True),
    ]
    anybody, ann, bob = clients
    try:
        await _without_cookie(scene, anybody)
        home = await _settled(scene, ann, bob)
        await _restarted(scene, home, ann=ann, bob=bob, anybody=anybody)
    finally:
        for client in clients:
            await client.close()
    sent = sum(client.sent for client in clients)
    stats = await scene.tenant.counted(scene.vip, sent, within=_COUNTED_WITHIN)
    statistics(stats)
    check_stats(stats, sent=sent, nodes=len(scene.nodes))


async def _without_cookie(scene: Scene, anybody: DemoClient) -> None:
    before = await scene.by_node()
    replies = await anybody.ask(_MANY)
    by_node = _since(before, await scene.by_node())
    came = ", ".join(f"{count} on {node}" for node, count in by_node.items())
    say(f"\n{len(replies)} requests to http://{scene.address}/ without a cookie came in {came}:")
    names = [member.name for member in scene.members]
    spread(replies, names)
    check_spread(replies, names, by_node)


async def _settled(scene: Scene, ann: DemoClient, bob: DemoClient) -> DemoMember:
    """Has two clients get cookies for the same member; gives that."""
    name = _served(await ann.ask())
    for _ in range(_TRIES):
        bob.forget()
        if _served(await bob.ask()) == name:
            break
    else:
        raise DemoFailure(f"{_TRIES} new clients, and none came to {name}")
    given = ", ".join(f"{key}={value}" for key, value in ann.cookies.items())
    say(f"\nann and bob keep the cookie they were given, both of {name}: {given}")
    before = await scene.by_node()
    for client in (ann, bob):
        check_kept(client.name, await client.ask(_SOME), on=name)
    by_node = _since(before, await scene.by_node())
    idle = [node for node, count in by_node.items() if not count]
    if idle:
        raise DemoFailure(f"{2 * _SOME} requests, and none came in on {', '.join(idle)}")
    came = ", ".join(f"{count} on {node}" for node, count in by_node.items())
    happened(f"each asks {_SOME} times", f"0 failed, all served by {name} ({came})")
    return next(member for member in scene.members if member.name == name)


async def _restarted(
    scene: Scene, home: DemoMember, *, ann: DemoClient, bob: DemoClient, anybody: DemoClient
) -> None:
    tenant, stopped = scene.tenant, f"{scene.pool}/members/{home.name}"
    began = time.monotonic()
    await home.stop()
    new_home = check_moved(bob.name, await bob.ask(_SOME), away=home.name)
    happened(
        f"{home.name} is stopped, bob asks on",
        f"0 of {_SOME} failed: {new_home} took over, with a new cookie",
    )
    await tenant.becomes([stopped], OperatingStatus.OFFLINE, within=_CHECKED_WITHIN)
    passed = time.monotonic() - began
    await tenant.becomes([scene.vip], OperatingStatus.DEGRADED, within=_CHECKED_WITHIN)
    others = [member.name for member in scene.members if member is not home]
    replies = await anybody.ask(_SOME)
    cause = await tenant.cause(stopped, within=_TOLD_WITHIN)
    happened(f"both nodes saw it in {passed:.1f} s", f"{home.name} is OFFLINE: {cause}")
    check_spread(replies, others, {})
    happened(
        "vip/web is DEGRADED",
        f"0 of {_SOME} new clients fail: {' and '.join(others)} serve",
    )
    began = time.monotonic()
    await home.start()
    await tenant.becomes([stopped, scene.vip], OperatingStatus.ONLINE, within=_CHECKED_WITHIN)
    happened(f"{home.name} is started again", f"ONLINE after {time.monotonic() - began:.1f} s")
    check_kept(ann.name, await ann.ask(_SOME), on=home.name)
    happened(
        "ann, who was away, asks on", f"0 of {_SOME} failed: {home.name}, by the cookie she had"
    )
    check_kept(bob.name, await bob.ask(_SOME), on=new_home)
    happened("bob asks on", f"0 of {_SOME} failed: {new_home}, by his new one")


def _served(replies: Sequence[Reply]) -> str:
    """Gives who served the only request, with a cookie.

    Raises:
        DemoFailure: nobody did, or without one.
    """
    (reply,) = replies
    if not reply.ok:
        raise DemoFailure("a request failed", [str(reply)])
    if not reply.cookie:
        raise DemoFailure("a new client was given no cookie")
    return reply.member


def _since(before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    return {node: now[node] - count for node, count in before.items()}
