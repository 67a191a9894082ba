"""What a write prints: its receipt on stderr, progress while it waits, the object on stdout."""

import time

from tidegate.cli.condition import detail
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.healthy import serves
from tidegate.cli.json_value import JsonObject, number, objects, text, texts
from tidegate.cli.nouns import Noun, label, short_name
from tidegate.cli.progress import end_progress, progress
from tidegate.cli.session import Session, Wait
from tidegate.cli.table import Format, tell

_STEP = 1.0
"""Seconds after which a wait that has not ended reports its progress."""


def written(session: Session, noun: Noun, method: str, request: JsonObject, done: str) -> None:
    """Makes a write, waits if asked to, and prints the object and the receipt.

    Args:
        session: the command's run.
        noun: what is written.
        method: `PoolService/CreatePool`; its answer is the object.
        request: the request as proto3 JSON; `--dry-run` is added here.
        done: the word for it: `created`.

    Raises:
        CommandError: refused, rejected by Envoy, or the wait timed out.
    """
    if session.dry_run:
        request = {**request, "validateOnly": True}
    began = time.monotonic()
    answer = session.call(method, request)
    name = text(answer, "name")
    end: CommandError | None = None
    if session.dry_run:
        tell(f"{label(name)} would be {done}; nothing was stored")
    elif session.wait is None or not is_applied_to_nodes(noun):
        tell(receipt(answer, f"{label(name)} {done}"))
    else:
        revision = number(answer, "revision")
        end = settle(session, name, revision, began=began, words=done)
        if end is None and session.wait is Wait.HEALTHY and done != "deleted":
            end = serves(session, [name], revision, began=began)
            if end is None:
                tell(f"{label(name)} healthy in {(time.monotonic() - began) * 1000:.0f} ms")
        answer = _fresh(session, noun, answer)
    gone = bool(session.wait) and end is None and done == "deleted" and not session.dry_run
    # A table of what is no more would say PENDING_DELETE of it.
    if not (gone and session.look.format in {Format.TABLE, Format.WIDE}):
        session.print(answer, [answer], columns=noun.columns, wide=noun.wide)
    if end is not None:
        raise end


def is_applied_to_nodes(noun: Noun) -> bool:
    """Tells whether a noun's objects are configuration that nodes confirm."""
    return noun.kind.pattern.startswith("projects/") and noun.word != "quota"


def receipt(answer: JsonObject, words: str) -> str:
    """Gives the receipt of a write that was not waited for."""
    parts = [f"{words}: revision {text(answer, 'revision')}"] if answer.get("revision") else [words]
    if "provisioningStatus" in answer:
        parts.append(f"applied {number(answer, 'nodesApplied')}/{number(answer, 'nodesTotal')}")
        status = text(answer, "provisioningStatus")
        parts.append(status if status != "ERROR" else f"ERROR {detail(answer)}")
    return ", ".join(parts)


def settle(
    session: Session, name: str, revision: int, *, began: float, words: str, alone: bool = True
) -> CommandError | None:
    """Waits until a change is live on every node, with progress; prints the receipt.

    `began` is the monotonic time at which the write was sent. Without `alone` the receipt is the
    caller's. Gives how it failed, or None.
    """
    deadline = began + session.timeout
    head = f"{label(name)} {words}: revision {revision}"
    while True:
        left = max(0.05, deadline - time.monotonic())
        step = min(_STEP, left)
        answer = session.ask(
            "LoadBalancerService/WaitForApplied",
            {"name": name, "revision": str(revision), "timeout": f"{step:.3f}s"},
            timeout=step + 10,
        )
        outcome = text(answer, "outcome")
        counted = f"applied {number(answer, 'nodesApplied')}/{number(answer, 'nodesTotal')}"
        if outcome == "APPLIED":
            passed = (time.monotonic() - began) * 1000
            how = counted if number(answer, "nodesTotal") else _on_no_node(words)
            end_progress(f"{head}, {how} in {passed:.0f} ms" if alone else "")
            return None
        if outcome == "REJECTED":
            end_progress(f"{head}, {counted}" if alone else "")
            return _rejected(name, answer)
        if time.monotonic() >= deadline:
            end_progress(f"{head}, {counted}" if alone else "")
            return CommandError(
                f"{label(name)}: not applied everywhere after {session.timeout:g} s",
                why=[*_missing(answer), "the change is stored and goes on being applied"],
                following=[f"tidegate why {label(name)}"],
                code=Exit.TIMED_OUT,
            )
        progress(f"{counted} nodes ... {_waiting(answer)}".rstrip())


def _on_no_node(words: str) -> str:
    return "gone from every node" if words == "deleted" else "nothing of it is for a node,"


def _rejected(name: str, answer: JsonObject) -> CommandError:
    reason = text(answer, "statusDetail.reason")
    by_envoy = reason == "REJECTED_BY_ENVOY"
    return CommandError(
        f"{label(name)} is in ERROR" + (": Envoy rejected it" if by_envoy else ""),
        why=[detail({"statusDetail": answer.get("statusDetail")})],
        following=[f"tidegate why {label(name)}"],
        code=Exit.REJECTED if by_envoy else Exit.CONFLICT,
    )


def _missing(answer: JsonObject) -> list[str]:
    lines = [
        f"node {short_name(text(each, 'node'))} has still to confirm"
        f" {', '.join(label(resource) for resource in texts(each, 'resources'))}"
        for each in objects(answer, "missing")
    ]
    reason = detail({"statusDetail": answer.get("statusDetail")})
    return [*lines, reason] if reason else lines


def _waiting(answer: JsonObject) -> str:
    nodes = [short_name(text(each, "node")) for each in objects(answer, "missing")]
    if nodes:
        return f"waiting for {', '.join(nodes[:3])}" + (" and more" if len(nodes) > 3 else "")  # noqa: PLR2004
    return text(answer, "statusDetail.reason")


def _fresh(session: Session, noun: Noun, answer: JsonObject) -> JsonObject:
    """Gives the object as it is after the wait; a deleted one as it was last."""
    try:
        return session.ask(f"{noun.service}/Get{noun.title}", {"name": answer["name"]})
    except CommandError as error:
        if error.code is Exit.NOT_FOUND:
            return answer
        raise
