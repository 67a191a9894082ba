"""Whole load balancers: `tidegate apply`, and `pool delete --tree`."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.condition import applied
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.healthy import serves
from tidegate.cli.json_value import JsonObject, JsonValue, given, number, objects, text
from tidegate.cli.nouns import (
    APPLIED,
    MEMBER,
    MONITOR,
    POOL,
    STATUS,
    VIP,
    WHY,
    Noun,
    full_name,
    label,
)
from tidegate.cli.receipt import settle
from tidegate.cli.session import Session, Wait
from tidegate.cli.standard import Etag
from tidegate.cli.table import Column, Format, tell
from tidegate.cli.verbs import verb

_PARTS = (("members", MEMBER), ("healthMonitors", MONITOR), ("vips", VIP))
_COLUMNS = (Column("NAME", lambda row: label(text(row, "name"))), STATUS, APPLIED, WHY)

File = Annotated[str, typer.Option("--file", "-f", help="YAML or JSON; - reads stdin.")]


def apply_file(session: Session, file: str, etag: str | None) -> None:
    """Makes the load balancer in a file be as it says there.

    Raises:
        CommandError: unreadable, or not in the API's words; every fault is named.
    """
    tree = _named(session, _read(file))
    request: JsonObject = {"loadBalancer": tree, **given({"etag": etag})}
    _write(session, "LoadBalancerService/Apply", request, "applied")


def delete_tree(session: Session, request: JsonObject) -> None:
    """Deletes a pool with its members and VIPs; `request` names it."""
    _write(session, "LoadBalancerService/DeleteTree", request, "deleted")


def _write(session: Session, method: str, request: JsonObject, done: str) -> None:
    if session.dry_run:
        request = {**request, "validateOnly": True}
    began = time.monotonic()
    answer = session.call(method, request)
    pool, revision = label(text(answer, "pool.name")), number(answer, "revision")
    head = f"{pool} {done}: revision {revision}, {len(_rows(answer))} objects"
    if session.dry_run:
        tell(f"{pool} with all its objects would be {done}; nothing was stored")
    elif session.wait is None:
        tell(head)
    else:
        ends = [_settled(session, row, began=began, words=done) for row in _rows(answer)]
        passed = (time.monotonic() - began) * 1000
        if failed := [end for end in ends if end is not None]:
            tell(head)
            raise _failure(pool, failed, of=len(ends))
        if session.wait is Wait.HEALTHY and done != "deleted":
            # The pool and its VIPs are well when its members are.
            names = [text(row, "name") for row in _rows(answer)]
            serving = [each for each in names if POOL.kind.parse(each) or VIP.kind.parse(each)]
            if (ill := serves(session, serving, revision, began=began)) is not None:
                tell(head)
                raise ill
            passed = (time.monotonic() - began) * 1000
        if done == "deleted":
            tell(f"{head}, gone from every node in {passed:.0f} ms")
            if session.look.format in {Format.TABLE, Format.WIDE}:
                return
        else:
            answer = _fresh(session, answer)
            nodes = max((row for row in _rows(answer)), key=lambda row: number(row, "nodesTotal"))
            how = "healthy and " if session.wait is Wait.HEALTHY else ""
            tell(f"{head}, {how}applied {applied(nodes)} in {passed:.0f} ms")
    session.print(answer, _rows(answer), columns=_COLUMNS)


def _settled(session: Session, row: JsonObject, *, began: float, words: str) -> CommandError | None:
    name, revision = text(row, "name"), number(row, "revision")
    return settle(session, name, revision, began=began, words=words, alone=False)


def _failure(pool: str, failed: list[CommandError], *, of: int) -> CommandError:
    codes = {end.code for end in failed}
    return CommandError(
        f"{pool}: {len(failed)} of {of} objects are not applied",
        why=[line for end in failed for line in (end.what, *(f"  {each}" for each in end.why))],
        following=failed[0].following,
        code=codes.pop() if len(codes) == 1 else Exit.REJECTED,
    )


def _rows(answer: JsonObject) -> list[JsonObject]:
    pool = answer.get("pool")
    rows = [pool] if isinstance(pool, dict) else []
    for field, _ in _PARTS:
        rows += objects(answer, field)
    return rows


def _fresh(session: Session, answer: JsonObject) -> JsonObject:
    """Gives the tree with every object as it is now."""

    def again(noun: Noun, row: JsonObject) -> JsonObject:
        return session.ask(f"{noun.service}/Get{noun.title}", {"name": text(row, "name")})

    pool = answer.get("pool")
    fresh: JsonObject = {**answer, "pool": again(POOL, pool) if isinstance(pool, dict) else None}
    for field, noun in _PARTS:
        if rows := objects(answer, field):
            fresh[field] = [again(noun, row) for row in rows]
    return fresh


def _read(file: str) -> JsonObject:
    import yaml  # noqa: PLC0415 - only here

    from tidegate.cli.spelling import spelling_faults  # noqa: PLC0415 - loads protobuf

    try:
        content = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        tree: JsonValue = yaml.safe_load(content)
    except OSError as error:
        raise CommandError(f"cannot read {file}", why=[error.strerror or str(error)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{file} is neither YAML nor JSON", why=str(error).splitlines()
        ) from error
    if not isinstance(tree, dict):
        raise CommandError(
            f"{file} holds no load balancer",
            why=["it needs the keys pool, members, health_monitors, vips"],
        )
    tree, faults = spelling_faults(tree)
    if faults:
        raise CommandError(
            f"{file}: {len(faults)} thing{'s are' if len(faults) > 1 else ' is'} wrong",
            why=faults,
            following=["tidegate apply --help"],
        )
    return tree


def _named(session: Session, tree: JsonObject) -> JsonObject:
    """Gives the tree with full names, so that a file need not know its project."""
    pool = tree.get("pool")
    if not isinstance(pool, dict) or not pool.get("name"):
        raise CommandError("pool.name is missing", why=["it says which load balancer this is"])
    project = "" if POOL.kind.parse(text(pool, "name")) else session.project
    name = full_name(POOL, text(pool, "name"), project)
    ids = POOL.kind.parse(name) or {}
    project = ids["project"]
    monitors = pool.get("healthMonitors")
    named: JsonObject = {**tree, "pool": {**pool, "name": name}}
    if isinstance(monitors, list):
        full = [full_name(MONITOR, str(each), project) for each in monitors]
        named["pool"] = {**pool, "name": name, "healthMonitors": [*full]}
    for field, noun in _PARTS:
        rows = objects(tree, field)
        if rows:
            named[field] = [_row(row, noun, project, ids["pool"]) for row in rows]
    return named


def _row(row: JsonObject, noun: Noun, project: str, pool: str) -> JsonObject:
    short = text(row, "name")
    if not short:
        return row  # the server says so, with the path
    if noun is MEMBER and "/" not in short:
        return {**row, "name": full_name(MEMBER, f"{pool}/{short}", project)}
    named: JsonObject = {**row, "name": full_name(noun, short, project)}
    if noun is VIP and row.get("pool"):
        named["pool"] = full_name(POOL, text(row, "pool"), project)
    return named


def add_to(app: typer.Typer) -> None:
    """Adds `apply`."""

    @verb(
        app,
        "apply",
        words="tidegate apply",
        example="tidegate apply -f tree.yaml --wait=applied\ntidegate apply -f tree.yaml --dry-run",
        writes=True,
    )
    def apply(session: Session, file: File, etag: Etag = None) -> None:
        """Make a whole load balancer be as a file says.

        The file holds `pool`, `members`, `health_monitors` and `vips` in the API's words. Members
        and VIPs that it does not list are deleted; monitors never are.
        """
        apply_file(session, file, etag)
