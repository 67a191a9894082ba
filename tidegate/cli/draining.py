"""`tidegate member drain`: switched off, and waited for until it is drained."""

import time
from datetime import UTC, datetime

from tidegate.cli.condition import detail
from tidegate.cli.durations import moment
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.json_value import JsonObject, number, text
from tidegate.cli.nouns import MEMBER, label
from tidegate.cli.progress import end_progress, progress
from tidegate.cli.receipt import receipt, settle
from tidegate.cli.session import Session, Wait
from tidegate.cli.table import tell

_UPDATE = "MemberService/UpdateMember"
_STEP = 1.0
"""Seconds between two looks at a member that drains."""


def drained(session: Session, request: JsonObject) -> None:
    """Switches a member off and waits until its drain has ended, with the time left.

    With `--wait=applied` it waits for the nodes alone.

    Raises:
        CommandError: refused, rejected by Envoy, or a wait timed out.
    """
    if session.dry_run:
        request = {**request, "validateOnly": True}
    began = time.monotonic()
    answer = session.call(_UPDATE, request)
    name, words = text(answer, "name"), label(text(answer, "name"))
    end: CommandError | None = None
    if session.dry_run:
        tell(f"{words} would be drained; nothing was stored")
    elif text(answer, "provisioningStatus") == "ERROR":
        tell(receipt(answer, f"{words} drains"))
    else:
        end = settle(session, name, number(answer, "revision"), began=began, words="drains")
        if end is None and session.wait is not Wait.APPLIED:
            end = _to_the_end(session, name, began=began)
        answer = session.ask("MemberService/GetMember", {"name": name})
    session.print(answer, [answer], columns=MEMBER.columns, wide=MEMBER.wide)
    if end is not None:
        raise end


def _to_the_end(session: Session, name: str, *, began: float) -> CommandError | None:
    while True:
        member = session.ask("MemberService/GetMember", {"name": name})
        until = text(member, "drainEndTime")
        if not until:
            end_progress(f"{label(name)} drained in {time.monotonic() - began:.0f} s")
            return None
        if member.get("adminStateUp") is not False:
            end_progress("")
            return CommandError(
                f"{label(name)} was switched on again meanwhile",
                following=[f"tidegate why {label(name)}"],
                code=Exit.CONFLICT,
            )
        left = (moment(until) - datetime.now(UTC)).total_seconds()
        if left < -session.timeout:
            end_progress("")
            return CommandError(
                f"{label(name)}: still drains {session.timeout:g} s after its time",
                why=[line for line in [detail(member)] if line],
                following=[f"tidegate why {label(name)}"],
                code=Exit.TIMED_OUT,
            )
        progress(f"drains, {max(0.0, left):.0f} s left")
        time.sleep(min(_STEP, max(0.05, left)))
