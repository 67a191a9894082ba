"""`tidegate status`: one table that says how a project's load balancers are."""

from collections import Counter
from collections.abc import Iterable

import typer

from tidegate.cli.durations import age
from tidegate.cli.json_value import JsonObject, number, objects, text
from tidegate.cli.nouns import APPLIED, MEMBER, MONITOR, POOL, PROJECT, STATUS, VIP, WHY, label
from tidegate.cli.session import EVERY_PROJECT, Session, ShownInstead
from tidegate.cli.table import Column, Format, print_json, print_rows, print_yaml, tell
from tidegate.cli.verbs import verb

_SETTLED = {"ACTIVE", "INACTIVE"}
_COLUMNS = (
    Column("NAME", lambda row: label(text(row, "name"))),
    STATUS,
    APPLIED,
    Column.of("MEMBERS", "_members"),
    Column("SINCE", lambda row: age(text(row, "statusDetail.time") or text(row, "updateTime"))),
    WHY,
)
_WIDE = (
    Column.of("OPERATING", "operatingStatus"),
    Column("ADDRESS", lambda row: text(row, "address")),
    Column.of("PORT", "port"),
    Column.of("PROTOCOL", "protocol"),
    Column.of("REVISION", "revision"),
)


def add_to(app: typer.Typer) -> None:
    """Adds `status`."""

    @verb(
        app,
        "status",
        words="tidegate status",
        example="tidegate status\ntidegate status -o wide --project acme",
    )
    def status(session: Session) -> None:
        """Show how your load balancers are, and what is wrong.

        One line for each VIP, for each pool without one, and for whatever else is not as wanted.
        """
        show_status(session)


def show_status(session: Session) -> None:
    """Asks for all objects of the project and prints those worth a line."""
    asked: dict[str, JsonObject] = {
        "ListVips": {"parent": session.parent},
        "ListPools": {"parent": session.parent},
        "ListMembers": {"parent": f"{session.parent}/pools/-"},
        "ListHealthMonitors": {"parent": session.parent},
    }
    nouns = (VIP, POOL, MEMBER, MONITOR)
    if session.show is not None:
        for noun, (method, request) in zip(nouns, asked.items(), strict=True):
            session.show_only(f"{noun.service}/{method}", {**request, "pageSize": 1000})
        raise ShownInstead
    answer: JsonObject = {}
    for noun, (method, request) in zip(nouns, asked.items(), strict=True):
        answer |= session.everything(f"{noun.service}/{method}", request, noun.field)
    if session.look.format is Format.JSON:
        print_json(answer)
    elif session.look.format is Format.YAML:
        print_yaml(answer)
    else:
        rows = _rows(answer)
        if rows:
            every = session.project == EVERY_PROJECT
            columns = (PROJECT, *_COLUMNS) if every else _COLUMNS
            print_rows(rows, look=session.look, columns=columns, wide=_WIDE)
        _footer(session, answer, rows)


def _rows(answer: JsonObject) -> list[JsonObject]:
    counts = Counter(
        text(each, "name").rsplit("/members/", 1)[0] for each in objects(answer, "members")
    )
    vips, pools = objects(answer, "vips"), objects(answer, "pools")
    served = {text(vip, "pool") for vip in vips}
    rows = [{**vip, "_members": counts[text(vip, "pool")]} for vip in vips]
    rows += [
        {**pool, "_members": counts[text(pool, "name")]}
        for pool in pools
        if text(pool, "name") not in served or not _settled(pool)
    ]
    others = [*objects(answer, "members"), *objects(answer, "healthMonitors")]
    return rows + [each for each in others if not _settled(each)]


def _settled(row: JsonObject) -> bool:
    return text(row, "provisioningStatus") in _SETTLED


def _footer(session: Session, answer: JsonObject, rows: list[JsonObject]) -> None:
    everything = [each for value in answer for each in objects(answer, value)]
    if not everything:
        tell(f"# project {session.project} has nothing yet: tidegate pool create --help")
        return
    revision = max(number(each, "revision") for each in everything)
    wrong = [row for row in rows if text(row, "provisioningStatus") == "ERROR"]
    pending = [row for row in rows if not _settled(row) and row not in wrong]
    parts = [f"# project {session.project}, revision {revision}."]
    parts += _counted(wrong, "problem") + _counted(pending, "change on its way")
    tell(" ".join(parts))
    if all(text(each, "operatingStatus") in {"", "UNKNOWN"} for each in everything):
        tell("# whether members are healthy is not known here: no node has an agent that reports")


def _counted(rows: Iterable[JsonObject], word: str) -> list[str]:
    names = [label(text(row, "name")) for row in rows]
    if not names:
        return []
    count = f"{len(names)} {word}{'' if len(names) == 1 else 's'}".replace("its way", "the way")
    return [f"{count.replace('change on the ways', 'changes on the way')}: tidegate why {names[0]}"]
