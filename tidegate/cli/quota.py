"""`tidegate quota`: how many objects a project may have."""

from typing import Annotated

import typer

from tidegate.cli.failure import CommandError
from tidegate.cli.json_value import JsonObject, given
from tidegate.cli.nouns import QUOTA
from tidegate.cli.receipt import written
from tidegate.cli.session import Session
from tidegate.cli.verbs import verb

app = typer.Typer(no_args_is_help=True)

Project = Annotated[str | None, typer.Argument(metavar="[PROJECT]")]


@verb(app, "get", words="tidegate quota get", example="tidegate quota get\ntidegate quota get acme")
def get(session: Session, whose: Project = None) -> None:
    """Show a project's quota, your own if not said whose."""
    answer = session.call("QuotaService/GetQuota", {"name": _name(session, whose)})
    session.print(answer, [answer], columns=QUOTA.columns)


@verb(
    app,
    "update",
    words="tidegate quota update",
    example="tidegate quota update acme --pools 50 --vips 50",
    writes=True,
    waits=False,
)
def update(
    session: Session,
    whose: Project = None,
    vips: Annotated[int | None, typer.Option(help="-1: no limit.")] = None,
    pools: Annotated[int | None, typer.Option(help="-1: no limit.")] = None,
    members: Annotated[int | None, typer.Option(help="-1: no limit.")] = None,
    health_monitors: Annotated[int | None, typer.Option(help="-1: no limit.")] = None,
) -> None:
    """Change a project's limits; operators only. Nothing that exists is deleted."""
    limits = given(
        {"vips": vips, "pools": pools, "members": members, "healthMonitors": health_monitors}
    )
    if not limits:
        raise CommandError("nothing to change", following=["tidegate quota update --help"])
    body: JsonObject = {"name": _name(session, whose), **limits}
    request: JsonObject = {"quota": body, "updateMask": ",".join(limits)}
    written(session, QUOTA, "QuotaService/UpdateQuota", request, "updated")


def _name(session: Session, whose: str | None) -> str:
    return f"projects/{whose or session.project}/quota"
