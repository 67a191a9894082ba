"""`tidegate node`: the Envoys of the fleets, read only."""

from typing import Annotated

import typer

from tidegate.cli.json_value import given
from tidegate.cli.nouns import FLEET, NODE
from tidegate.cli.session import Session
from tidegate.cli.standard import Filter, name_of, print_list
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)


@verb(app, "get", words="tidegate node get", example="tidegate node get edge/e1")
def get(session: Session, name: Annotated[str, typer.Argument(metavar="FLEET/NODE")]) -> None:
    """Show one node."""
    answer = session.call("FleetService/GetNode", {"name": name_of(session, NODE, name)})
    session.print(answer, [answer], columns=NODE.columns, wide=NODE.wide)


@verb(
    app, "list", words="tidegate node list", example="tidegate node list edge\ntidegate node list"
)
def list_(
    session: Session,
    fleet: Annotated[str, typer.Argument(metavar="[FLEET]", help="-: of all fleets.")] = "-",
    filter_: Filter = None,
) -> None:
    """List the nodes of a fleet, or of all fleets."""
    parent = "fleets/-" if fleet == "-" else name_of(session, FLEET, fleet)
    print_list(session, NODE, {"parent": parent, **given({"filter": filter_})})
