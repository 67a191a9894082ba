"""`tidegate watch`: what happens to a project's objects, as it happens."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer

from tidegate.cli.condition import applied, why
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.json_value import JsonObject, at, number, text
from tidegate.cli.nouns import label
from tidegate.cli.session import Session, ShownInstead
from tidegate.cli.table import Format, say, tell
from tidegate.cli.verbs import verb

_OBJECTS = ("pool", "member", "healthMonitor", "vip")
_LAYOUT = "{:<8}  {:>8}  {:<8}  {:<30}  {:<14}  {:<7}  {}"


def add_to(app: typer.Typer) -> None:
    """Adds `watch`."""

    @verb(
        app,
        "watch",
        words="tidegate watch",
        example="tidegate watch --count 1\ntidegate watch --from 1 --count 1 -o json",
    )
    def watch(
        session: Session,
        from_: Annotated[
            int, typer.Option("--from", help="After this revision; 0: all as it is, then on.")
        ] = 0,
        count: Annotated[
            int | None, typer.Option(help="End after so many events; else Ctrl-C ends it.")
        ] = None,
    ) -> None:
        """Follow what happens to your objects.

        With -o json one event a line. Each has a revision: give it to --from to go on after it.
        """
        request: JsonObject = {"parent": session.parent, "fromRevision": str(from_)}
        if session.show_only("LoadBalancerService/Watch", request):
            raise ShownInstead
        try:
            _follow(session, request, count)
        except KeyboardInterrupt:
            tell("")


def _follow(session: Session, request: JsonObject, count: int | None) -> None:
    shown, last = 0, text(request, "fromRevision")
    table = session.look.format in {Format.TABLE, Format.WIDE}
    if table and session.look.header:
        say(_LAYOUT.format("TIME", "REVISION", "WHAT", "NAME", "STATUS", "APPLIED", "WHY").rstrip())
        sys.stdout.flush()
    for event in _events(session, request):
        if "heartbeat" in event:
            continue
        if "end" in event:
            raise CommandError(
                f"the server ended the watch: {text(event, 'end.reason')}",
                why=[line for line in [text(event, "end.message")] if line],
                following=[f"tidegate watch --from {last}"],
                code=Exit.UNAVAILABLE,
            )
        last = text(event, "revision") or last
        _show(session.look.format, event)
        shown += 1
        if count is not None and shown >= count:
            return


def _events(session: Session, request: JsonObject) -> Iterator[JsonObject]:
    yield from session.client.stream("LoadBalancerService/Watch", request)


def _show(look: Format, event: JsonObject) -> None:
    what, row = told(event)
    if look is Format.JSON:
        say(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
    elif look is Format.YAML:
        import yaml  # noqa: PLC0415 - only here

        say("---\n" + yaml.safe_dump(event, sort_keys=False, allow_unicode=True).rstrip())
    elif look is Format.NAME:
        say(text(row, "name"))
    else:
        moment = datetime.now().astimezone().strftime("%H:%M:%S")
        gone = "provisioningStatus" not in row
        say(
            _LAYOUT.format(
                moment,
                number(event, "revision"),
                what,
                label(text(row, "name")),
                text(row, "provisioningStatus"),
                "" if gone else applied(row),
                why(row),
            ).rstrip()
        )
    sys.stdout.flush()


def told(event: JsonObject) -> tuple[str, JsonObject]:
    """Gives what an event says happened, and the object or status it carries."""
    for field in _OBJECTS:
        if isinstance(row := at(event, f"change.{field}"), dict):
            return text(event, "change.type"), row
    for field, what in (("status", "STATUS"), ("removal", "GONE")):
        if isinstance(row := event.get(field), dict):
            return what, row
    return "?", {}
