"""How an object is, in a word, and why: from its statuses and their detail."""

from tidegate.cli.json_value import JsonObject, number, text


def applied(row: JsonObject) -> str:
    """Gives `3/4`: how many counted nodes have confirmed the object's newest change."""
    return f"{number(row, 'nodesApplied')}/{number(row, 'nodesTotal')}"


_NO_NEWS = frozenset(
    {"NO_AGENT", "NO_MONITOR", "NOT_PLACED", "NOT_IN_USE", "ADMIN_DOWN", "POOL_ADMIN_DOWN"}
)
"""Reasons that are no fault: nobody looks, or the tenant wants it so."""


def settled(row: JsonObject) -> bool:
    """Tells whether the nodes run what was written."""
    return text(row, "provisioningStatus") in {"ACTIVE", "INACTIVE"}


def status(row: JsonObject) -> str:
    """Gives the one word for an object: whether it serves, once it is as it was written.

    Until then it is the provisioning status, and it stays that where nobody reports health.
    """
    operating, provisioning = text(row, "operatingStatus"), text(row, "provisioningStatus")
    unseen = operating in {"", "UNKNOWN"} and text(row, "statusDetail.reason") in {"", "NO_AGENT"}
    drains = operating == "DRAINING" and provisioning in {"PENDING_DELETE", "INACTIVE"}
    return operating if drains or (provisioning == "ACTIVE" and not unseen) else provisioning


def ails(row: JsonObject) -> bool:
    """Tells whether an object does not serve as it should, other than by the tenant's will."""
    bad = status(row) in {"ERROR", "DEGRADED", "OFFLINE"}
    return bad and text(row, "statusDetail.reason") not in {*_NO_NEWS, "CHECK_PENDING"}


def why(row: JsonObject) -> str:
    """Gives what keeps an object from being as wanted; "" when nothing does."""
    if not settled(row):
        return detail(row)
    if text(row, "statusDetail.reason") in _NO_NEWS:
        return ""
    return text(row, "statusDetail.message").strip() or text(row, "statusDetail.reason")


def detail(row: JsonObject) -> str:
    """Gives the status detail in words: where, the reason and the message."""
    reason, message = text(row, "statusDetail.reason"), text(row, "statusDetail.message").strip()
    node = "/".join(text(row, "statusDetail.node").split("/")[1::2])
    place = f"{node}: " if node else ""
    return place + ": ".join(each for each in (reason, message) if each)
