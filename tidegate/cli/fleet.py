"""`tidegate fleet`: the groups of Envoys; operators write them."""

from typing import Annotated

import typer

from lbaas.model.enums import FleetKind
from lbaas.model.names import leaf
from tidegate.cli.capabilities import capabilities_of, names_of_types
from tidegate.cli.durations import age
from tidegate.cli.json_value import given, number, objects, text
from tidegate.cli.node_status import show_node
from tidegate.cli.nouns import FLEET, NODE
from tidegate.cli.receipt import written
from tidegate.cli.session import Session
from tidegate.cli.standard import (
    Description,
    DisplayName,
    Etag,
    Labels,
    created,
    delete_verb,
    get_verb,
    labels_of,
    list_verb,
    name_of,
    updated,
    words_of,
)
from tidegate.cli.table import Column, tell
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Types = Annotated[
    list[str] | None,
    typer.Option("--service-type", help="What it offers; may be repeated."),
]
Capability = Annotated[
    list[str] | None,
    typer.Option(
        "--capability",
        help="Only these: lb_method=X, protocol=X, health_monitor_type=X, session_persistence=X,"
        " connection_limit, multiple_monitors; may be repeated. All that is built if not said.",
    ),
]
OneProject = Annotated[
    str | None,
    typer.Option("--for-project", metavar="NAME", help="Carry this project only."),
]
Ranges = Annotated[
    list[str] | None,
    typer.Option("--vip-range", help="A CIDR of its VIP addresses; may be repeated."),
]
MaxPools = Annotated[int | None, typer.Option(help="How many pools it may carry; 0: no limit.")]

Canary = Annotated[
    bool | None,
    typer.Option(
        "--canary/--no-canary",
        help="A change goes to one node first, and to the others when that has confirmed it.",
    ),
]

_NODE = Column("NODE", lambda row: leaf(text(row, "name")))

_LOOK_INTO = {"PENDING", "REJECTED", "JOINING"}

get_verb(app, FLEET, example="edge")
list_verb(app, FLEET)
delete_verb(app, FLEET, example="edge")


@verb(
    app,
    "create",
    words="tidegate fleet create",
    example="tidegate fleet create edge --vip-range 203.0.113.0/24\n"
    "tidegate fleet create beside --kind sidecar --for-project acme",
    writes=True,
    waits=False,
)
def create(
    session: Session,
    *,
    name: Name,
    kind: Annotated[
        FleetKind | None, typer.Option(case_sensitive=False, help="[default: edge]")
    ] = None,
    service_type: Types = None,
    capability: Capability = None,
    for_project: OneProject = None,
    vip_range: Ranges = None,
    max_pools: MaxPools = None,
    canary: Canary = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
) -> None:
    """Register a fleet; its Envoys join with what `tidegate bootstrap` prints."""
    created(
        session,
        FLEET,
        name,
        {
            "kind": (kind or FleetKind.EDGE).value,
            "serviceTypes": names_of_types(service_type),
            "capabilities": capabilities_of(capability, option="--capability"),
            "project": _project(for_project),
            "vipRanges": words_of(vip_range),
            "maxPools": max_pools,
            "canary": canary,
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
        },
    )


@verb(
    app,
    "update",
    words="tidegate fleet update",
    example="tidegate fleet update edge --max-pools 500\ntidegate fleet update edge --canary",
    writes=True,
    waits=False,
)
def update(
    session: Session,
    *,
    name: Name,
    service_type: Types = None,
    capability: Capability = None,
    for_project: OneProject = None,
    vip_range: Ranges = None,
    max_pools: MaxPools = None,
    canary: Canary = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    etag: Etag = None,
) -> None:
    """Change a fleet; what is not named stays as it is."""
    updated(
        session,
        FLEET,
        name,
        {
            "serviceTypes": names_of_types(service_type),
            "capabilities": capabilities_of(capability, option="--capability"),
            "project": _project(for_project),
            "vipRanges": words_of(vip_range),
            "maxPools": max_pools,
            "canary": canary,
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
        },
        etag=etag,
    )


@verb(
    app,
    "drain",
    words="tidegate fleet drain",
    example="tidegate fleet drain edge",
    writes=True,
    waits=False,
)
def drain(session: Session, name: Name, etag: Etag = None) -> None:
    """Empty a fleet: its pools move where another fits, no new ones come."""
    request = given({"name": name_of(session, FLEET, name), "etag": etag})
    written(
        session,
        FLEET,
        "FleetService/DrainFleet",
        request,
        "takes no more pools; those it carries move where another fleet fits",
    )


@verb(
    app,
    "undrain",
    words="tidegate fleet undrain",
    example="tidegate fleet undrain edge",
    writes=True,
    waits=False,
)
def undrain(session: Session, name: Name, etag: Etag = None) -> None:
    """Let a fleet take pools again."""
    request = given({"name": name_of(session, FLEET, name), "etag": etag})
    written(session, FLEET, "FleetService/UndrainFleet", request, "takes pools again")


@verb(
    app,
    "allow-removals",
    words="tidegate fleet allow-removals",
    example="tidegate fleet allow-removals edge --dry-run\ntidegate fleet allow-removals edge",
    writes=True,
    waits=False,
)
def allow_removals(session: Session, name: Name, etag: Etag = None) -> None:
    """Let the listeners go that are withheld now because nobody asked for it.

    See first that the control plane has the right store: rows that come back harm nothing.
    """
    request = given({"name": name_of(session, FLEET, name), "etag": etag})
    written(
        session, FLEET, "FleetService/AllowRemovals", request, "loses the listeners held until now"
    )


@verb(
    app,
    "status",
    words="tidegate fleet status",
    example="tidegate fleet status edge\ntidegate fleet status edge/e1",
)
def status(session: Session, name: Annotated[str, typer.Argument(metavar="FLEET[/NODE]")]) -> None:
    """Show what each node runs, waits for, has refused.

    With a node: each Envoy resource that it does not hold as wanted, what it runs of it, what was
    sent, and what it waits for.
    """
    if "/" in name.removeprefix("fleets/"):
        show_node(session, name_of(session, NODE, name))
        return
    request = given({"parent": name_of(session, FLEET, name)})
    answer = session.everything("FleetService/ListNodes", request, "nodes")
    nodes = objects(answer, "nodes")
    session.print(answer, nodes, columns=(_NODE, *NODE.columns[1:]))
    fleet = session.ask("FleetService/GetFleet", {"name": name_of(session, FLEET, name)})
    if held := number(fleet, "heldRemovals"):
        tell(
            f"# {held} listeners should go and are held since"
            f" {age(text(fleet, 'heldRemovalsTime'))}: nobody is known to have asked for it."
            f" Is the store the right one? If they may go: tidegate fleet allow-removals {name}"
        )
    if not nodes:
        tell(f"# no Envoy has joined {name} yet: tidegate bootstrap {name} NODE > node.json")
    elif waiting := [each for each in nodes if text(each, "state") in _LOOK_INTO]:
        short = text(waiting[0], "name").removeprefix("fleets/").replace("/nodes/", "/", 1)
        tell(f"# what it does not hold, and why: tidegate fleet status {short}")


def _project(words: str | None) -> str | None:
    """Gives a project's name; `everyone` and "" make the fleet shared again."""
    if words is None or words in {"", "everyone"}:
        return None if words is None else ""
    return words if words.startswith("projects/") else f"projects/{words}"
