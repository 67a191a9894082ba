"""What one node does not hold as wanted, resource by resource."""

from tidegate.cli.durations import age, span
from tidegate.cli.json_value import JsonObject, number, objects, text
from tidegate.cli.nouns import label, short_name
from tidegate.cli.session import Session
from tidegate.cli.table import Column, tell

KINDS = {
    "Cluster": "cluster",
    "ClusterLoadAssignment": "endpoints",
    "Listener": "listener",
    "RouteConfiguration": "route",
    "Runtime": "runtime",
    "Secret": "secret",
}
"""What people call Envoy's types."""

_SHORT = 12
"""Characters of a version that tell it from others; `-o json` has all."""

_MOST = 256
"""How many the API gives at most."""


def kind_of(resource: JsonObject) -> str:
    """Gives what people call a resource's type."""
    kind = text(resource, "typeUrl").rpartition(".")[2]
    return KINDS.get(kind, kind)


def version(words: str) -> str:
    """Gives enough of a version to tell it from others."""
    return words[:_SHORT]


def reason(resource: JsonObject, message: str) -> str:
    """Gives what is said of a resource, without its own type and name before it."""
    kind = text(resource, "typeUrl").rpartition(".")[2]
    said = message.strip().removeprefix(f"{kind} {text(resource, 'name')} ")
    return said.removeprefix(f"{kind}: ")


def _why(row: JsonObject) -> str:
    said = reason(row, text(row, "message"))
    return f'"{said}"' if text(row, "state") == "REJECTED" and said else said


def _wanted(row: JsonObject) -> str:
    return version(text(row, "wantedVersion")) or "removed"


_COLUMNS = (
    Column("TYPE", kind_of),
    Column("NAME", lambda row: label(text(row, "name"))),
    Column.of("STATE", "state"),
    Column("RUNS", lambda row: version(text(row, "heldVersion")) or "none"),
    Column("WANTED", _wanted),
    Column("SENT", lambda row: age(text(row, "sentTime"))),
    Column("WHY", _why),
)
_WIDE = (Column("SENT_VERSION", lambda row: version(text(row, "sentVersion"))),)


def show_node(session: Session, name: str) -> None:
    """Asks for a node (by its resource name) and prints what it does not hold as wanted."""
    answer = session.call("FleetService/GetNode", {"name": name})
    rows = objects(answer, "unsettled")
    session.print(answer, rows, columns=_COLUMNS, wide=_WIDE)
    tell(f"# node {short_name(name)} is {_summary(answer, rows)}")


def _summary(node: JsonObject, rows: list[JsonObject]) -> str:
    state, revision = text(node, "state"), number(node, "baseRevision")
    if state == "LOST" or not node.get("connected"):
        return f"{state}: it is not connected, last seen {age(text(node, 'lastSeenTime'))} ago"
    if not rows and state != "SYNCED":
        return f"{state} at revision {revision}: nothing that it asks for is missing"
    if not rows:
        lag = span(text(node, "lag"))
        took = f", which took it {lag}" if lag else ""
        return f"{state}: it holds everything of revision {revision}{took}"
    more = " or more" if len(rows) >= _MOST else ""
    return f"{state} at revision {revision}: {len(rows)}{more} not as wanted"
