"""The next command: what to do about an object that is not as wanted."""

from tidegate.cli.json_value import JsonObject, text
from tidegate.cli.nouns import label


def next_commands(name: str, row: JsonObject, pools: list[JsonObject]) -> list[str]:
    """Gives what to type next, the likeliest first.

    Args:
        name: the object's label, `vip/web`.
        row: its status.
        pools: its pools as Explain tells of them.
    """
    word, _, short = name.partition("/")
    reason = text(row, "statusDetail.reason")
    fleet = next((each for pool in pools if (each := _short(pool, "placement.fleet"))), "")
    pool = next((_short(each, "pool") for each in pools), "")
    looking = f"tidegate fleet status {fleet}"
    if reason == "REJECTED_BY_ENVOY" and word == "vip":
        # What was refused is not sent again as it is. When the cause is gone (a port that was
        # taken, an address the node had not), off and on is a new try.
        switch = f"tidegate vip update {short} --wait=applied"
        return [looking, f"to try again: {switch} --admin-down && {switch} --admin-up"]
    members = [f"tidegate member list {pool} -o wide", "tidegate monitor list"]
    known = {
        "NO_ELIGIBLE_FLEET": [
            "tidegate fleet list -o wide",
            f"tidegate {word} update {short} --help",
        ],
        "NO_NODE_CONNECTED": [f"tidegate bootstrap {fleet} NODE > node.json", looking],
        "HELD_BY_CANARY": [
            looking,
            f"to give it to all: tidegate fleet update {fleet} --no-canary",
        ],
        "ADDRESS_IN_USE": [f"tidegate {word} get {short} -o yaml", looking],
        "REJECTED_BY_ENVOY": [f"tidegate {word} get {short} -o yaml", looking],
        "MEMBERS_DOWN": members,
        "ALL_MEMBERS_DOWN": members,
        "ONLY_BACKUPS_UP": members,
        "NO_MEMBERS": [f"tidegate member create {pool}/NAME --address ADDRESS --port PORT"],
    }
    if word == "member":
        known |= {
            "MONITOR_FAILED": [f"tidegate member drain {short}", "tidegate monitor list"],
            "ADMIN_DOWN": [f"to have it back: tidegate member update {short} --admin-up"],
        }
    if reason in known and (pools or reason not in {"NO_MEMBERS", "MEMBERS_DOWN"}):
        return known[reason]
    return [*([looking] if fleet else []), f"tidegate why {name} -o json"]


def _short(pool: JsonObject, path: str) -> str:
    return label(text(pool, path)).partition("/")[2]
