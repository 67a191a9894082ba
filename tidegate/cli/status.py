"""`tidegate status`: one table that says how a project's load balancers are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import typer

from tidegate.cli.condition import ails, settled, why
from tidegate.cli.durations import age
from tidegate.cli.json_value import JsonObject, number, objects, text
from tidegate.cli.members_told import members_fault, members_up
from tidegate.cli.nouns import APPLIED, MEMBER, MONITOR, POOL, PROJECT, STATUS, VIP, label
from tidegate.cli.session import EVERY_PROJECT, Session, ShownInstead
from tidegate.cli.table import Column, Format, print_json, print_rows, print_yaml, tell
from tidegate.cli.verbs import verb

_COLUMNS = (
    Column("NAME", lambda row: label(text(row, "name"))),
    STATUS,
    APPLIED,
    Column.of("MEMBERS", "_members"),
    Column.of("CONNS", "_connections"),
    Column("SINCE", lambda row: age(text(row, "statusDetail.time") or text(row, "updateTime"))),
    Column("WHY", lambda row: text(row, "_why") or why(row)),
)
_WIDE = (
    Column.of("PROVISIONING", "provisioningStatus"),
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
        rows = _rows(answer, _traffic(session, objects(answer, "vips")))
        if rows:
            every = session.project == EVERY_PROJECT
            columns = (PROJECT, *_COLUMNS) if every else _COLUMNS
            print_rows(rows, look=session.look, columns=columns, wide=_WIDE)
        _footer(session, answer, rows)


def _traffic(session: Session, vips: list[JsonObject]) -> dict[str, JsonObject]:
    """Gives the traffic of the VIPs whose nodes have agents, all asked for at once."""
    names = [
        text(vip, "name") for vip in vips if text(vip, "operatingStatus") not in {"", "UNKNOWN"}
    ]
    if not names:
        return {}
    asked: list[JsonObject] = [{"name": name} for name in names]
    answers = session.client.call_each("VipService/GetVipStats", asked, timeout=10)
    return {name: each for name, each in zip(names, answers, strict=True) if each is not None}


def _rows(answer: JsonObject, traffic: Mapping[str, JsonObject]) -> list[JsonObject]:
    by_pool: defaultdict[str, list[JsonObject]] = defaultdict(list)
    for member in objects(answer, "members"):
        by_pool[text(member, "name").rsplit("/members/", 1)[0]].append(member)

    def shown(row: JsonObject, pool: str) -> JsonObject:
        members = by_pool[pool]
        return {**row, "_members": members_up(members), "_why": members_fault(row, members)}

    vips, pools = objects(answer, "vips"), objects(answer, "pools")
    served = {text(vip, "pool") for vip in vips}
    rows = [
        {**shown(vip, text(vip, "pool")), "_connections": _connections(vip, traffic)}
        for vip in vips
    ]
    rows += [
        shown(pool, text(pool, "name"))
        for pool in pools
        if text(pool, "name") not in served or not settled(pool)
    ]
    others = [*objects(answer, "members"), *objects(answer, "healthMonitors")]
    return rows + [each for each in others if not settled(each)]


def _connections(vip: JsonObject, traffic: Mapping[str, JsonObject]) -> str:
    counted = traffic.get(text(vip, "name"))
    if counted is None:
        return ""
    limit = number(vip, "connectionLimit")
    return f"{number(counted, 'activeConnections')}" + (f"/{limit}" if limit > 0 else "")


def _footer(session: Session, answer: JsonObject, rows: list[JsonObject]) -> None:
    everything = [each for value in answer for each in objects(answer, value)]
    if not everything:
        tell(f"# project {session.project} has nothing yet: tidegate pool create --help")
        return
    revision = max(number(each, "revision") for each in everything)
    wrong = [row for row in rows if ails(row)]
    pending = [row for row in rows if not settled(row) and row not in wrong]
    head = f"# project {session.project}, revision {revision}."
    problems, others = _counted(wrong, "problem"), _counted(pending, "change on its way")
    tell(" ".join([head, *(problems or others)]))
    for line in others if problems else ():
        tell(f"# {line}")
    blind = [row for row in rows if text(row, "statusDetail.reason") == "NO_AGENT"]
    if blind:
        of = "" if len(blind) == len(rows) else f" of {label(text(blind[0], 'name'))}"
        more = f" and {len(blind) - 1} more" if of and len(blind) > 1 else ""
        tell(f"# whether members are healthy is not known{of}{more}: no agent reports from there")


def _counted(rows: Iterable[JsonObject], word: str) -> list[str]:
    names = [label(text(row, "name")) for row in rows]
    if not names:
        return []
    count = f"{len(names)} {word}{'' if len(names) == 1 else 's'}".replace("its way", "the way")
    return [f"{count.replace('change on the ways', 'changes on the way')}: tidegate why {names[0]}"]
