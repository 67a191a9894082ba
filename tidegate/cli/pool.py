"""`tidegate pool`: the groups of members, and which monitors watch them."""

from typing import Annotated

import typer

from lbaas.model.enums import LbMethod, Protocol
from tidegate.cli.json_value import given, objects
from tidegate.cli.nouns import MONITOR, POOL, SERVICE_TYPE, short_name
from tidegate.cli.receipt import written
from tidegate.cli.session import Session
from tidegate.cli.standard import (
    AdminState,
    Description,
    DisplayName,
    Etag,
    Labels,
    created,
    get_verb,
    labels_of,
    list_verb,
    name_of,
    updated,
)
from tidegate.cli.stats import MEMBER_STATS, REPORTED, STATS
from tidegate.cli.table import Format, print_rows, say
from tidegate.cli.tree import delete_tree
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
MonitorName = Annotated[str, typer.Argument(metavar="MONITOR")]
Monitors = Annotated[
    list[str] | None,
    typer.Option("--monitor", metavar="NAME", help="A health monitor; may be repeated."),
]

get_verb(app, POOL, example="web")
list_verb(app, POOL)


@verb(
    app,
    "create",
    words="tidegate pool create",
    example="tidegate pool create web --protocol http --wait=applied\n"
    "tidegate pool create db --protocol tcp --lb-method least_connections --label env=prod",
    writes=True,
)
def create(
    session: Session,
    *,
    name: Name,
    protocol: Annotated[
        Protocol, typer.Option(case_sensitive=False, help="What the members speak.")
    ],
    lb_method: Annotated[
        LbMethod, typer.Option(case_sensitive=False, help="How a member is chosen.")
    ] = LbMethod.ROUND_ROBIN,
    monitor: Monitors = None,
    service_type: Annotated[
        str | None, typer.Option(metavar="NAME", help="What kind of fleet.")
    ] = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
) -> None:
    """Create a pool; it is placed on a fleet at once."""
    monitors = [name_of(session, MONITOR, each) for each in monitor or ()]
    created(
        session,
        POOL,
        name,
        {
            "protocol": protocol.value,
            "lbMethod": lb_method.value,
            "healthMonitors": [*monitors] or None,
            "serviceType": _service_type(session, service_type),
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
    )


@verb(
    app,
    "update",
    words="tidegate pool update",
    example="tidegate pool update web --lb-method least_connections --wait=applied\n"
    "tidegate pool update web --monitor http-check --monitor tcp-check",
    writes=True,
)
def update(
    session: Session,
    *,
    name: Name,
    lb_method: Annotated[
        LbMethod | None, typer.Option(case_sensitive=False, help="How a member is chosen.")
    ] = None,
    monitor: Annotated[
        list[str] | None,
        typer.Option(
            "--monitor", metavar="NAME", help="Have these monitors and no others; none: no monitor."
        ),
    ] = None,
    service_type: Annotated[
        str | None, typer.Option(metavar="NAME", help="What kind of fleet.")
    ] = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
    etag: Etag = None,
) -> None:
    """Change a pool; what is not named stays as it is."""
    wanted = [each for each in monitor or () if each != "none"]
    monitors = [name_of(session, MONITOR, each) for each in wanted]
    updated(
        session,
        POOL,
        name,
        {
            "lbMethod": lb_method.value if lb_method else None,
            "healthMonitors": [*monitors] if monitor else None,
            "serviceType": _service_type(session, service_type),
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
        etag=etag,
    )


@verb(
    app,
    "delete",
    words="tidegate pool delete",
    example="tidegate pool delete web --force --wait=applied\ntidegate pool delete web --tree",
    writes=True,
)
def delete(
    session: Session,
    name: Name,
    force: Annotated[bool, typer.Option("--force", help="Its members too.")] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Its members and VIPs too.")] = False,
    etag: Etag = None,
) -> None:
    """Delete a pool; never its VIPs or members unless told."""
    request = given({"name": name_of(session, POOL, name), "etag": etag})
    if tree:
        delete_tree(session, request)
        return
    if force:
        request["force"] = True
    written(session, POOL, "PoolService/DeletePool", request, "deleted")


@verb(
    app,
    "associate",
    words="tidegate pool associate",
    example="tidegate pool associate web http-check --wait=applied",
    writes=True,
)
def associate(session: Session, name: Name, monitor: MonitorName) -> None:
    """Put a health monitor on a pool."""
    request = {
        "name": name_of(session, POOL, name),
        "healthMonitor": name_of(session, MONITOR, monitor),
    }
    written(
        session,
        POOL,
        "PoolService/AssociateHealthMonitor",
        {**request},
        f"watched by {short_name(request['healthMonitor'])}",
    )


@verb(
    app,
    "disassociate",
    words="tidegate pool disassociate",
    example="tidegate pool disassociate web http-check",
    writes=True,
)
def disassociate(session: Session, name: Name, monitor: MonitorName) -> None:
    """Take a health monitor off a pool."""
    request = {
        "name": name_of(session, POOL, name),
        "healthMonitor": name_of(session, MONITOR, monitor),
    }
    written(
        session,
        POOL,
        "PoolService/DisassociateHealthMonitor",
        {**request},
        f"no longer watched by {short_name(request['healthMonitor'])}",
    )


@verb(
    app,
    "stats",
    words="tidegate pool stats",
    example="tidegate pool stats web\ntidegate pool stats web -o wide",
)
def stats(session: Session, name: Name) -> None:
    """Show a pool's traffic over all nodes, with -o wide each member's; needs agents.

    Requests and connections are those to members; for TCP and HTTPS a connection is a request.
    """
    answer = session.call("PoolService/GetPoolStats", {"name": name_of(session, POOL, name)})
    session.print(answer, [answer], columns=STATS, wide=(REPORTED,))
    members = objects(answer, "members")
    if session.look.format is Format.WIDE and members and not session.look.columns:
        say("")
        print_rows(members, look=session.look, columns=MEMBER_STATS)


def _service_type(session: Session, short: str | None) -> str | None:
    return None if short is None else name_of(session, SERVICE_TYPE, short)
