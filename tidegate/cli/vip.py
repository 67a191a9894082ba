"""`tidegate vip`: the addresses and ports that take traffic."""

from dataclasses import replace
from typing import Annotated

import typer

from lbaas.model.enums import Protocol
from tidegate.cli.durations import duration
from tidegate.cli.failure import CommandError, did_you_mean
from tidegate.cli.json_value import JsonObject, given
from tidegate.cli.nouns import LIMIT, POOL, VIP
from tidegate.cli.session import Session
from tidegate.cli.standard import (
    AdminState,
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
)
from tidegate.cli.stats import REFUSED, REPORTED, STATS
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

_TYPES = ("SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE")

Name = Annotated[str, typer.Argument(metavar="NAME")]
Persistence = Annotated[
    str | None,
    typer.Option("--persistence", help="none, source_ip, http_cookie[:NAME] or app_cookie:NAME."),
]
Ttl = Annotated[str | None, typer.Option("--persistence-ttl", help="How long the cookie lives.")]
Limit = Annotated[
    int | None, typer.Option(help="Concurrent connections over the fleet; -1: unlimited.")
]

# `get` shows the limit, and what each node takes of it, in place of the protocol.
_PROTOCOL = next(each for each in VIP.columns if each.heading == "PROTOCOL")
_GET = tuple(LIMIT if each is _PROTOCOL else each for each in VIP.columns)
_GET_WIDE = (_PROTOCOL, *(each for each in VIP.wide if each is not LIMIT))

get_verb(app, replace(VIP, columns=_GET, wide=_GET_WIDE), example="web")
list_verb(app, VIP)
delete_verb(app, VIP, example="web --wait=applied")


@verb(
    app,
    "create",
    words="tidegate vip create",
    example="tidegate vip create web --pool web --protocol http --port 8080 --wait=applied\n"
    "tidegate vip create web6 --pool web --protocol http --address 2001:db8::10 --port 8080",
    writes=True,
)
def create(
    session: Session,
    *,
    name: Name,
    pool: Annotated[str, typer.Option(help="The pool that serves it.")],
    port: Annotated[int, typer.Option(help="The port clients connect to.")],
    protocol: Annotated[Protocol, typer.Option(case_sensitive=False, help="The pool's protocol.")],
    address: Annotated[
        str | None, typer.Option(help="One of the fleet's; allocated if not said.")
    ] = None,
    persistence: Persistence = None,
    persistence_ttl: Ttl = None,
    connection_limit: Limit = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
) -> None:
    """Create a VIP on a pool."""
    created(
        session,
        VIP,
        name,
        {
            "pool": name_of(session, POOL, pool),
            "port": port,
            "protocol": protocol.value,
            "address": address,
            "sessionPersistence": _persistence(persistence, persistence_ttl),
            "connectionLimit": connection_limit,
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
    )


@verb(
    app,
    "update",
    words="tidegate vip update",
    example="tidegate vip update web --persistence source_ip --wait=applied\n"
    "tidegate vip update web --pool green --wait=applied",
    writes=True,
)
def update(
    session: Session,
    *,
    name: Name,
    pool: Annotated[str | None, typer.Option(help="The pool that serves it from now on.")] = None,
    persistence: Persistence = None,
    persistence_ttl: Ttl = None,
    connection_limit: Limit = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
    etag: Etag = None,
) -> None:
    """Change a VIP; what is not named stays as it is."""
    updated(
        session,
        VIP,
        name,
        {
            "pool": None if pool is None else name_of(session, POOL, pool),
            "sessionPersistence": _persistence(persistence, persistence_ttl),
            "connectionLimit": connection_limit,
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
        etag=etag,
        cleared=("sessionPersistence",) if persistence == "none" else (),
    )


@verb(app, "stats", words="tidegate vip stats", example="tidegate vip stats web")
def stats(session: Session, name: Name) -> None:
    """Show a VIP's traffic over all nodes, with -o wide what its limit refused; needs agents."""
    answer = session.call("VipService/GetVipStats", {"name": name_of(session, VIP, name)})
    session.print(answer, [answer], columns=STATS, wide=(REFUSED, REPORTED))


def _persistence(words: str | None, ttl: str | None) -> JsonObject | None:
    if words is None or words == "none":
        if ttl is not None:
            raise CommandError("--persistence-ttl needs --persistence")
        return None
    kind, _, cookie = words.partition(":")
    kind = kind.upper().replace("-", "_")
    if kind not in _TYPES:
        raise CommandError(
            f"--persistence: {words!r} is unknown{did_you_mean(kind, _TYPES)}",
            why=["none, source_ip, http_cookie[:NAME] or app_cookie:NAME"],
        )
    lifetime = duration(ttl, option="--persistence-ttl")
    return given({"type": kind, "cookieName": cookie or None, "ttl": lifetime})
