"""Members that are not well, in words: which, since when, who finds so, and what the check met."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lbaas.model.names import leaf
from tidegate.cli.condition import why
from tidegate.cli.durations import clock
from tidegate.cli.json_value import JsonObject, number, objects, text
from tidegate.cli.nouns import short_name

_MOST = 10
"""How many members are told of before the rest is counted."""
_UP = frozenset({"ONLINE", "DEGRADED", "NO_MONITOR"})
_BY_WILL = frozenset({"ADMIN_DOWN", "POOL_ADMIN_DOWN"})
_FAULTS = frozenset({"MEMBERS_DOWN", "ALL_MEMBERS_DOWN", "ONLY_BACKUPS_UP"})


def members_up(members: Sequence[JsonObject]) -> str:
    """Gives `2/3`: how many of the members that should take new traffic can; `3` if unknown."""
    counted = [each for each in members if _takes_traffic(each)]
    known = [each for each in counted if text(each, "operatingStatus") not in {"", "UNKNOWN"}]
    if not known:
        return str(len(members))
    up = sum(text(each, "operatingStatus") in _UP for each in counted)
    return f"{up}/{len(counted)}"


def members_fault(row: JsonObject, members: Sequence[JsonObject]) -> str:
    """Gives what is wrong with the first member that takes a pool or VIP down; "" otherwise.

    `member 10.0.0.3:80 OFFLINE: HTTP 503, wanted 200, and 1 more`.
    """
    if text(row, "statusDetail.reason") not in _FAULTS:
        return ""
    ill = [each for each in members if _takes_traffic(each) and _ill(each)]
    if not ill:
        return ""
    first = next((each for each in ill if text(each, "operatingStatus") == "OFFLINE"), ill[0])
    more = f", and {len(ill) - 1} more" if len(ill) > 1 else ""
    return f"member {_address(first)} {text(first, 'operatingStatus')}: {_cause(first)}{more}"


def failed_monitors(members: Sequence[JsonObject]) -> list[str]:
    """Gives the names of the monitors that any of the members to be told of fails."""
    told = [each for each in members if _ill(each)][:_MOST]
    failed = {text(one, "failedHealthMonitor") for each in told for one in _failing(each)}
    return sorted(each for each in failed if each)


def health_lines(members: Sequence[JsonObject], monitors: Mapping[str, JsonObject]) -> list[str]:
    """Gives a line for each member that is not well, and below it one for each failed monitor."""
    ill = [each for each in members if _ill(each)]
    told: list[str] = []
    for each in ill[:_MOST]:
        told.append(_member(each))
        told += [f"  {line}" for line in _checks(each, monitors)]
    if len(ill) > _MOST:
        pool = short_name(text(ill[0], "name")).split("/")[0]
        told.append(f"and {len(ill) - _MOST} more: tidegate member list {pool}")
    return told


def _takes_traffic(member: JsonObject) -> bool:
    weight = member.get("weight")
    return (
        member.get("adminStateUp") is not False
        and (weight is None or number(member, "weight") > 0)
        and text(member, "provisioningStatus") != "PENDING_DELETE"
    )


def _ill(member: JsonObject) -> bool:
    status = text(member, "operatingStatus")
    by_will = text(member, "statusDetail.reason") in _BY_WILL
    return status not in {"", "ONLINE", "NO_MONITOR"} and not by_will


def _failing(member: JsonObject) -> list[JsonObject]:
    """Gives the verdicts of the nodes that find a member worse than up."""
    return [
        each for each in objects(member, "verdicts") if text(each, "operatingStatus") not in _UP
    ]


def _address(member: JsonObject) -> str:
    address = text(member, "address")
    return (
        f"[{address}]:{text(member, 'port')}"
        if ":" in address
        else (f"{address}:{text(member, 'port')}")
    )


def _cause(member: JsonObject) -> str:
    causes = [text(each, "cause") for each in _failing(member)]
    return next((each for each in causes if each), "") or why(member)


def _member(member: JsonObject) -> str:
    status = text(member, "operatingStatus")
    words = f"member {_address(member)} ({short_name(text(member, 'name'))})  {status}"
    if status == "DRAINING":
        until = clock(text(member, "drainEndTime"))
        return words + (f" until {until}" if until else f": {why(member)}")
    if since := clock(text(member, "statusDetail.time")):
        words += f" since {since}"
    verdicts, failing = objects(member, "verdicts"), _failing(member)
    if not verdicts:
        return f"{words}: {why(member)}"
    if len(failing) == len(verdicts):
        agree = (
            "so says the only node" if len(verdicts) == 1 else f"all {len(verdicts)} nodes agree"
        )
    else:
        nodes = ", ".join(leaf(text(each, "node")) for each in failing[:_MOST])
        agree = f"{len(failing)} of {len(verdicts)} nodes find so: {nodes}"
    return f"{words}, {agree}"


def _checks(member: JsonObject, monitors: Mapping[str, JsonObject]) -> list[str]:
    """Gives what each failed monitor does and what it met, by monitor and cause."""
    alike: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    failing = _failing(member)
    for each in failing:
        key = text(each, "failedHealthMonitor"), text(each, "cause")
        alike[key].append(leaf(text(each, "node")))
    told: list[str] = []
    for (name, cause), nodes in sorted(alike.items()):
        if not name and not cause:
            continue
        met = f"{check(monitors[name])} -> {cause}" if name in monitors else cause
        where = f" on {', '.join(nodes[:_MOST])}" if len(nodes) < len(failing) else ""
        head = f"monitor {leaf(name)}: " if name else ""
        told.append(f"{head}{met}{where}")
    return told


def check(monitor: JsonObject) -> str:
    """Gives what a monitor does: `GET /healthz every 5s`."""
    kind = text(monitor, "type")
    does = {"PING": "an echo request", "TCP": "a connection"}.get(kind)
    if does is None:
        does = f"{text(monitor, 'httpMethod') or 'GET'} {text(monitor, 'urlPath') or '/'}"
        does += " over TLS" if kind == "HTTPS" else ""
    return f"{does} every {text(monitor, 'delay')}"
