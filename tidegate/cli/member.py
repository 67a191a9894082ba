"""`tidegate member`: the application servers of a pool, written POOL/MEMBER."""

from typing import Annotated

import typer

from tidegate.cli.draining import drained
from tidegate.cli.durations import duration
from tidegate.cli.json_value import given
from tidegate.cli.nouns import MEMBER, POOL
from tidegate.cli.nouns import label as labelled
from tidegate.cli.receipt import written
from tidegate.cli.session import Session
from tidegate.cli.standard import (
    AdminState,
    Description,
    DisplayName,
    Etag,
    Filter,
    Labels,
    created,
    delete_verb,
    get_verb,
    labels_of,
    name_of,
    print_list,
    updated,
)
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="POOL/MEMBER")]
Weight = Annotated[
    int | None, typer.Option(help="Share of new traffic, 0 to 256; 0: nothing new. [default: 1]")
]
DrainTimeout = Annotated[
    str | None, typer.Option(help="How long connections may go on once it is off: 30s, 5m.")
]

get_verb(app, MEMBER, example="web/m1")
delete_verb(app, MEMBER, example="web/m1 --wait=applied")


@verb(
    app,
    "list",
    words="tidegate member list",
    example="tidegate member list web\ntidegate member list -o name",
)
def list_(
    session: Session,
    pool: Annotated[str, typer.Argument(metavar="[POOL]", help="-: of all pools.")] = "-",
    filter_: Filter = None,
) -> None:
    """List the members of a pool, or of all pools."""
    parent = f"{session.parent}/pools/-" if pool == "-" else name_of(session, POOL, pool)
    print_list(session, MEMBER, {"parent": parent, **given({"filter": filter_})})


@verb(
    app,
    "create",
    words="tidegate member create",
    example="tidegate member create web/m1 --address 10.0.0.1 --port 8080 --wait=applied\n"
    "tidegate member create web/spare --address 10.0.0.9 --port 8080 --backup",
    writes=True,
)
def create(
    session: Session,
    *,
    name: Name,
    address: Annotated[str, typer.Option(help="Its IP address.")],
    port: Annotated[int, typer.Option(help="Its port.")],
    weight: Weight = None,
    backup: Annotated[
        bool | None, typer.Option("--backup", help="Only while no other member is up.")
    ] = None,
    drain_timeout: DrainTimeout = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
) -> None:
    """Create a member in a pool."""
    created(
        session,
        MEMBER,
        name,
        {
            "address": address,
            "port": port,
            "weight": weight,
            "backup": backup,
            "drainTimeout": duration(drain_timeout, option="--drain-timeout"),
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
    )


@verb(
    app,
    "update",
    words="tidegate member update",
    example="tidegate member update web/m1 --weight 5 --wait=applied",
    writes=True,
)
def update(
    session: Session,
    *,
    name: Name,
    weight: Weight = None,
    backup: Annotated[
        bool | None, typer.Option("--backup/--no-backup", help="Only while no other is up.")
    ] = None,
    drain_timeout: DrainTimeout = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
    etag: Etag = None,
) -> None:
    """Change a member; what is not named stays as it is."""
    updated(
        session,
        MEMBER,
        name,
        {
            "weight": weight,
            "backup": backup,
            "drainTimeout": duration(drain_timeout, option="--drain-timeout"),
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
        etag=etag,
    )


@verb(
    app,
    "drain",
    words="tidegate member drain",
    example="tidegate member drain web/m1\n"
    "tidegate member drain web/m1 --within 1s\n"
    "tidegate member drain web/m1 --within 5m --wait=applied",
    writes=True,
)
def drain(
    session: Session,
    name: Name,
    within: Annotated[
        str | None, typer.Option(help="How long its connections may go on; as it is if not said.")
    ] = None,
) -> None:
    """Switch a member off gently, and wait until it is drained.

    Nothing new goes to it, and what it has may end. With --wait=applied the command ends as soon
    as the nodes know; --timeout counts from the drain's end.

    Bring it back with `tidegate member update POOL/MEMBER --admin-up`.
    """
    changes = given({"adminStateUp": False, "drainTimeout": duration(within, option="--within")})
    drained(
        session,
        {
            "member": {"name": name_of(session, MEMBER, name), **changes},
            "updateMask": ",".join(changes),
        },
    )


@verb(
    app,
    "move",
    words="tidegate member move",
    example="tidegate member move web/m1 blue --wait=applied\n"
    "tidegate member move web/m1 blue --as b1",
    writes=True,
)
def move(
    session: Session,
    name: Name,
    to_pool: Annotated[str, typer.Argument(metavar="POOL")],
    as_: Annotated[str | None, typer.Option("--as", help="Its id there.")] = None,
    etag: Etag = None,
) -> None:
    """Move a member to another pool; sessions stay with it."""
    source = name_of(session, MEMBER, name)
    request = given(
        {
            "name": source,
            "destinationPool": name_of(session, POOL, to_pool),
            "memberId": as_,
            "etag": etag,
        }
    )
    done = f"moved here from {labelled(source).removeprefix('member/')}"
    written(session, MEMBER, "MemberService/MoveMember", request, done)
