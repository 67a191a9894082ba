"""`tidegate monitor`: the checks that decide whether a member may serve."""

from typing import Annotated

import typer

from lbaas.model.enums import HealthMonitorType
from tidegate.cli.durations import duration
from tidegate.cli.nouns import MONITOR
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
    updated,
)
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Rise = Annotated[
    int | None, typer.Option(help="Successes in a row that bring it back. [default: 1]")
]
Method = Annotated[str | None, typer.Option("--http-method", help="[default: GET]")]
Path = Annotated[str | None, typer.Option("--path", help="The URL's path. [default: /]")]
Codes = Annotated[
    str | None, typer.Option("--expect", help="Status codes: 200, 200-204,301. [default: 200]")
]
Host = Annotated[str | None, typer.Option("--host", help="The Host header.")]

get_verb(app, MONITOR, example="http-check")
list_verb(app, MONITOR)
delete_verb(app, MONITOR, example="http-check")


@verb(
    app,
    "create",
    words="tidegate monitor create",
    example="tidegate monitor create http-check --type http --path /healthz --delay 5s\n"
    "tidegate monitor create tcp-check --type tcp --delay 2s --max-retries 2",
    writes=True,
)
def create(
    session: Session,
    *,
    name: Name,
    type_: Annotated[
        HealthMonitorType, typer.Option("--type", case_sensitive=False, help="How to check.")
    ],
    delay: Annotated[str, typer.Option(help="Between two checks.")] = "5s",
    check_timeout: Annotated[
        str, typer.Option("--check-timeout", help="For one check; at most the delay.")
    ] = "2s",
    max_retries: Annotated[
        int, typer.Option(help="Failures in a row that take a member down.")
    ] = 3,
    rise: Rise = None,
    http_method: Method = None,
    path: Path = None,
    expect: Codes = None,
    host: Host = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
) -> None:
    """Create a health monitor; `pool associate` puts it to work."""
    created(
        session,
        MONITOR,
        name,
        {
            "type": type_.value,
            "delay": duration(delay, option="--delay"),
            "timeout": duration(check_timeout, option="--check-timeout"),
            "maxRetries": max_retries,
            "rise": rise,
            "httpMethod": http_method,
            "urlPath": path,
            "expectedCodes": expect,
            "host": host,
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
    )


@verb(
    app,
    "update",
    words="tidegate monitor update",
    example="tidegate monitor update http-check --expect 200-204 --wait=applied",
    writes=True,
)
def update(
    session: Session,
    *,
    name: Name,
    delay: Annotated[str | None, typer.Option(help="Between two checks.")] = None,
    check_timeout: Annotated[
        str | None, typer.Option("--check-timeout", help="For one check; at most the delay.")
    ] = None,
    max_retries: Annotated[
        int | None, typer.Option(help="Failures in a row that take a member down.")
    ] = None,
    rise: Rise = None,
    http_method: Method = None,
    path: Path = None,
    expect: Codes = None,
    host: Host = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    admin: AdminState = None,
    etag: Etag = None,
) -> None:
    """Change a health monitor; what is not named stays as it is."""
    updated(
        session,
        MONITOR,
        name,
        {
            "delay": duration(delay, option="--delay"),
            "timeout": duration(check_timeout, option="--check-timeout"),
            "maxRetries": max_retries,
            "rise": rise,
            "httpMethod": http_method,
            "urlPath": path,
            "expectedCodes": expect,
            "host": host,
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
            "adminStateUp": admin,
        },
        etag=etag,
    )
