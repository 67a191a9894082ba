"""`tidegate service-type`: what tenants may ask for; operators write it."""

from typing import Annotated

import typer

from lbaas.model.enums import FleetKind
from tidegate.cli.capabilities import capabilities_of
from tidegate.cli.nouns import SERVICE_TYPE
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
    updated,
)
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME")]
Default = Annotated[
    bool | None, typer.Option("--default", help="For pools that name none; taken from the other.")
]
Kind = Annotated[
    FleetKind | None, typer.Option("--fleet-kind", case_sensitive=False, help="Any if not said.")
]
Require = Annotated[
    list[str] | None,
    typer.Option("--require", help="lb_method=X, protocol=X, multiple_monitors; may be repeated."),
]
Select = Annotated[
    list[str] | None,
    typer.Option("--fleet-label", help="KEY=VALUE that a fleet must have; may be repeated."),
]

get_verb(app, SERVICE_TYPE, example="default")
list_verb(app, SERVICE_TYPE)
delete_verb(app, SERVICE_TYPE, example="gold")


@verb(
    app,
    "create",
    words="tidegate service-type create",
    example="tidegate service-type create gold --fleet-label tier=gold --require multiple_monitors",
    writes=True,
    waits=False,
)
def create(
    session: Session,
    *,
    name: Name,
    default: Default = None,
    fleet_kind: Kind = None,
    require: Require = None,
    fleet_label: Select = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
) -> None:
    """Create a service type."""
    created(
        session,
        SERVICE_TYPE,
        name,
        {
            "default": default,
            "fleetKind": fleet_kind.value if fleet_kind else None,
            "requiredCapabilities": capabilities_of(require, option="--require"),
            "fleetSelector": labels_of(fleet_label, option="--fleet-label"),
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
        },
    )


@verb(
    app,
    "update",
    words="tidegate service-type update",
    example="tidegate service-type update gold --description 'two nodes or more'",
    writes=True,
    waits=False,
)
def update(
    session: Session,
    *,
    name: Name,
    default: Default = None,
    fleet_kind: Kind = None,
    require: Require = None,
    fleet_label: Select = None,
    display_name: DisplayName = None,
    description: Description = None,
    label: Labels = None,
    etag: Etag = None,
) -> None:
    """Change a service type; what is not named stays as it is."""
    updated(
        session,
        SERVICE_TYPE,
        name,
        {
            "default": default,
            "fleetKind": fleet_kind.value if fleet_kind else None,
            "requiredCapabilities": capabilities_of(require, option="--require"),
            "fleetSelector": labels_of(fleet_label, option="--fleet-label"),
            "displayName": display_name,
            "description": description,
            "labels": labels_of(label),
        },
        etag=etag,
    )
