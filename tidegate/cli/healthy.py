"""`--wait=healthy`: after a change is applied, until what was written serves."""

import time
from collections.abc import Collection, Iterator

from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.json_value import JsonObject, text
from tidegate.cli.nouns import label
from tidegate.cli.progress import end_progress, progress
from tidegate.cli.session import Session
from tidegate.cli.watch import told

_WELL = frozenset({"ONLINE", "NO_MONITOR"})


def serves(
    session: Session, names: Collection[str], revision: int, *, began: float
) -> CommandError | None:
    """Waits until all of these serve, with progress; gives how it failed, or None.

    Args:
        session: the command's run; its time-out counts from `began`.
        names: resource names of one project.
        revision: of the write; statuses are followed from there.
        began: the monotonic time at which the write was sent.
    """
    rows: dict[str, JsonObject] = {}
    said = ""
    for name, row in _rows(session, names, revision, began=began):
        if row is None:
            return CommandError(f"{label(name)} was deleted meanwhile", code=Exit.NOT_FOUND)
        if text(row, "provisioningStatus") == "INACTIVE":
            return CommandError(
                f"{label(name)} is switched off, so it does not serve",
                following=["use --wait=applied", f"tidegate why {label(name)}"],
                code=Exit.CONFLICT,
            )
        rows[name] = row
        ill = [each for each in names if not _well(rows.get(each))]
        if not ill:
            end_progress("")
            return None
        line = f"healthy {len(names) - len(ill)}/{len(names)} ... {_words(ill[0], rows)}"
        if line != said and len(rows) == len(names):
            progress(line)
            said = line
    ill = [each for each in names if not _well(rows.get(each))]
    end_progress("")
    return CommandError(
        f"not healthy after {session.timeout:g} s",
        why=[*(_words(each, rows) for each in ill), "the change is applied to every node"],
        following=[f"tidegate why {label(ill[0])}"],
        code=Exit.TIMED_OUT,
    )


def _rows(
    session: Session, names: Collection[str], revision: int, *, began: float
) -> Iterator[tuple[str, JsonObject | None]]:
    """Gives each object's picture as it changes, None for one that is gone, until time is up."""
    project = "/".join(next(iter(names)).split("/")[:2])
    request: JsonObject = {"parent": project, "fromRevision": str(revision)}
    left = max(0.05, began + session.timeout - time.monotonic())
    try:
        for event in session.client.stream("LoadBalancerService/Watch", request, timeout=left):
            _refuse_the_end(event)
            what, row = told(event)
            name = text(row, "name")
            if name in names:
                yield name, None if what == "GONE" else row
    except CommandError as error:
        if error.reason != "DEADLINE_EXCEEDED":
            raise


def _refuse_the_end(event: JsonObject) -> None:
    if "end" in event:
        raise CommandError(
            f"the server ended the watch: {text(event, 'end.reason')}",
            why=["the change is applied to every node"],
            following=["tidegate status"],
            code=Exit.UNAVAILABLE,
        )


def _well(row: JsonObject | None) -> bool:
    # ACTIVE too: nodes that join, or another's change of the object, can make it pend again.
    return (
        row is not None
        and text(row, "operatingStatus") in _WELL
        and text(row, "provisioningStatus") == "ACTIVE"
    )


def _words(name: str, rows: dict[str, JsonObject]) -> str:
    row = rows.get(name)
    if row is None:
        return f"{label(name)}: nothing was heard of it"
    status = text(row, "operatingStatus") or "UNKNOWN"
    message = text(row, "statusDetail.message") or text(row, "statusDetail.reason")
    return f"{label(name)} is {status}" + (f": {message}" if message else "")
