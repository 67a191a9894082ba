"""What must be so in the demo; pure, and each fault is named."""

from collections import Counter
from collections.abc import Mapping, Sequence

from lbaas.v1.status_pb2 import OperatingStatus, ProvisioningStatus
from lbaas.v1.vip_pb2 import VipStats
from tidegate.demo_failure import DemoFailure
from tidegate.demo_http import Reply
from tidegate.demo_tenant import StatusRow

_WELL = frozenset({OperatingStatus.ONLINE, OperatingStatus.NO_MONITOR})


def check_statuses(rows: Sequence[StatusRow], *, nodes: int) -> None:
    """Checks that every object is live on so many nodes, and serves.

    Raises:
        DemoFailure: it is not so.
    """
    wrong = [
        f"{row.label} is {ProvisioningStatus.Code.Name(row.provisioning)},"
        f" {OperatingStatus.Code.Name(row.operating)}, on {row.applied} of {row.total} nodes"
        for row in rows
        if row.provisioning != ProvisioningStatus.ACTIVE
        or row.operating not in _WELL
        or (row.applied, row.total) != (nodes, nodes)
    ]
    _refuse("not every object is live and serves", wrong)


def check_spread(
    replies: Sequence[Reply], members: Sequence[str], by_node: Mapping[str, int]
) -> None:
    """Checks that no request failed, and that each of these members and each node served.

    `by_node`: how many of the requests came in on each node.

    Raises:
        DemoFailure: it is not so.
    """
    served = Counter(reply.member for reply in replies if reply.ok)
    wrong = _failed(replies)
    wrong += [f"{member} served nothing" for member in members if not served[member]]
    wrong += [f"{member} is stopped and served" for member in served if member not in members]
    wrong += [f"node {node} took no request" for node, count in by_node.items() if not count]
    _refuse("requests are not spread as they should be", wrong)


def check_kept(who: str, replies: Sequence[Reply], *, on: str) -> None:
    """Checks that all requests of a client with a cookie were served by one member, by that cookie.

    Raises:
        DemoFailure: one failed, another member served, or the client was given another cookie.
    """
    wrong = _failed(replies)
    others = {reply.member for reply in replies if reply.ok} - {on}
    wrong += [f"{member} served {who}, not {on}" for member in sorted(others)]
    if any(reply.cookie for reply in replies):
        wrong.append(f"{who} was given another cookie")
    _refuse(f"{who} was not kept on {on}", wrong)


def check_moved(who: str, replies: Sequence[Reply], *, away: str) -> str:
    """Checks that a client of a stopped member was moved once, with a new cookie; gives whereto.

    Raises:
        DemoFailure: it is not so.
    """
    wrong = _failed(replies)
    served = list(dict.fromkeys(reply.member for reply in replies if reply.ok))
    if away in served:
        wrong.append(f"{away} is stopped and served")
    if len(served) != 1:
        wrong.append(f"{who} was served by {', '.join(served) or 'none'}, not by one")
    if [reply.cookie for reply in replies] != [True] + [False] * (len(replies) - 1):
        given = sum(reply.cookie for reply in replies)
        wrong.append(f"{who} was given {given} cookies, not one with the first answer")
    _refuse(f"{who} did not move from {away} to one other member", wrong)
    return served[0]


def check_stats(stats: VipStats, *, sent: int, nodes: int) -> None:
    """Checks that the VIP's statistics are what clients sent, counted by every node.

    Raises:
        DemoFailure: it is not so.
    """
    wrong = []
    if stats.requests != sent:
        wrong.append(f"{stats.requests} requests are counted, {sent} were sent")
    if stats.errors:
        wrong.append(f"{stats.errors} errors are counted")
    if (stats.nodes_reporting, stats.nodes_total) != (nodes, nodes):
        wrong.append(f"{stats.nodes_reporting} of {stats.nodes_total} nodes report, not {nodes}")
    _refuse("the statistics are not what was sent", wrong)


def _failed(replies: Sequence[Reply]) -> list[str]:
    counted = Counter(str(reply) for reply in replies if not reply.ok)
    return [f"{count} of {len(replies)} failed: {what}" for what, count in counted.items()]


def _refuse(what: str, wrong: Sequence[str]) -> None:
    if wrong:
        raise DemoFailure(what, wrong)
