"""`tidegate why`: why an object is as it is, from placement to each node's own words."""

from collections.abc import Sequence
from typing import Annotated

import typer

from lbaas.model.names import leaf
from tidegate.cli.condition import detail, settled
from tidegate.cli.condition import status as condition
from tidegate.cli.durations import clock
from tidegate.cli.failure import CommandError, Exit
from tidegate.cli.following import next_commands
from tidegate.cli.json_value import JsonObject, number, objects, text
from tidegate.cli.members_told import failed_monitors, health_lines
from tidegate.cli.node_status import kind_of, reason, version
from tidegate.cli.nouns import MEMBER, MONITOR, POOL, VIP, Noun, full_name, label
from tidegate.cli.session import Session, ShownInstead
from tidegate.cli.table import Format, print_json, print_yaml, say
from tidegate.cli.verbs import verb

_NOUNS = {noun.word: noun for noun in (VIP, POOL, MEMBER, MONITOR)}
_AWAY = "not connected"
"""What is said of a resource on a node that has no stream."""


def add_to(app: typer.Typer) -> None:
    """Adds `why`."""

    @verb(
        app,
        "why",
        words="tidegate why",
        example="tidegate why vip/web\ntidegate why member/web/m1\ntidegate why web -o json",
    )
    def why(
        session: Session,
        name: Annotated[str, typer.Argument(metavar="[vip/|pool/|member/|monitor/]NAME")],
    ) -> None:
        """Tell why an object is as it is, and what nodes say."""
        explanation = session.call(
            "LoadBalancerService/Explain", {"name": explained_name(session, name)}
        )
        if session.look.format is Format.JSON:
            print_json(explanation)
        elif session.look.format is Format.YAML:
            print_yaml(explanation)
        elif session.look.format is Format.NAME:
            say(text(explanation, "name"))
        else:
            health = _health(session, explanation)
            for line in lines(explanation, health, wide=session.look.format is Format.WIDE):
                say(line)


def explained_name(session: Session, words: str) -> str:
    """Gives the resource name of `vip/web`, `web/m1`, a full name, or of a bare `web`.

    Raises:
        CommandError: nothing has this name, or more than one kind of object has.
    """
    if any(noun.kind.parse(words) for noun in _NOUNS.values()):
        return words
    word, _, rest = words.partition("/")
    if word in _NOUNS and rest:
        return full_name(_NOUNS[word], rest, session.project)
    if rest:
        return full_name(MEMBER, words, session.project)
    if session.show is not None:  # the call that would be made for the likeliest meaning
        session.show_only(
            "LoadBalancerService/Explain", {"name": full_name(VIP, words, session.project)}
        )
        raise ShownInstead
    found = [noun for noun in (VIP, POOL, MONITOR) if _exists(session, noun, words)]
    if not found:
        raise CommandError(
            f"project {session.project} has no VIP, pool or monitor {words!r}",
            following=["tidegate status"],
            code=Exit.NOT_FOUND,
        )
    # A VIP and its pool often share an id; the VIP's story tells the pool's too.
    return full_name(found[0], words, session.project)


def _exists(session: Session, noun: Noun, short: str) -> bool:
    name = full_name(noun, short, session.project)
    try:
        session.client.call(f"{noun.service}/Get{noun.title}", {"name": name}, timeout=30)
    except CommandError as error:
        if error.code is Exit.NOT_FOUND:
            return False
        raise
    return True


def _health(session: Session, explanation: JsonObject) -> list[str]:
    """Gives the lines about the members that are not well; asks for them, if anybody reports."""
    if text(explanation, "status.operatingStatus") in {"", "UNKNOWN"}:
        return []
    name = text(explanation, "name")
    members: list[JsonObject] = []
    for pool in objects(explanation, "pools"):
        if MEMBER.kind.parse(name):
            members.append(session.ask("MemberService/GetMember", {"name": name}))
            continue
        request: JsonObject = {"parent": text(pool, "pool")}
        answer = session.everything("MemberService/ListMembers", request, "members")
        members += objects(answer, "members")
    monitors: list[JsonObject | None] = []
    if failed := failed_monitors(members):
        asked: list[JsonObject] = [{"name": each} for each in failed]
        monitors = session.client.call_each(
            "HealthMonitorService/GetHealthMonitor", asked, timeout=30
        )
    known = {text(each, "name"): each for each in monitors if each is not None}
    return health_lines(members, known)


def lines(explanation: JsonObject, health: Sequence[str], *, wide: bool) -> list[str]:
    """Gives the explanation in words.

    `health` are the lines about members; `wide` shows every resource, not only what is not applied.
    """
    status = explanation.get("status")
    row: JsonObject = status if isinstance(status, dict) else {}
    name = label(text(explanation, "name"))
    told = [f"{name} is {_because(row)}"]
    told += [f"  {line}" for line in health]
    pools = objects(explanation, "pools")
    for pool in pools:
        told.append(f"  {_placement(pool)}")
        told += [f"    {line}" for line in _resources(pool, wide=wide)]
    if not pools:
        told.append("  no pool uses it, so no node has anything of it")
    if text(row, "operatingStatus") in {"", "UNKNOWN"}:
        told.append(f"  health: {_unknown(row)}")
    told.append(f"  next: {' | '.join(next_commands(name, row, pools))}")
    return told


def _unknown(row: JsonObject) -> str:
    if settled(row) and text(row, "statusDetail.reason") not in {"", "NO_AGENT"}:
        return f"not known, {text(row, 'statusDetail.message')}"
    return "not known here, no node has an agent that reports"


def _because(row: JsonObject) -> str:
    since = f" since {clock(at)}" if (at := text(row, "statusDetail.time")) else ""
    if settled(row) and (word := condition(row)) not in {"ACTIVE", "INACTIVE"}:
        return f"{word}{since}: {_serving(row)}"
    status = text(row, "provisioningStatus") or "UNKNOWN"
    applied, total = number(row, "nodesApplied"), number(row, "nodesTotal")
    if status == "ACTIVE":
        if total == 0:
            return "ACTIVE: nothing of it has to be on a node"
        counted = "the only node has" if total == 1 else f"all {total} nodes have"
        return f"ACTIVE: {counted} its newest change"
    if status == "INACTIVE":
        return "INACTIVE: it is switched off (admin_state_up is false), on every node"
    if text(row, "statusDetail.reason") == "NO_ELIGIBLE_FLEET":
        return f"{status}: NO_ELIGIBLE_FLEET, no fleet can carry it"
    why = detail(row) or f"{applied} of {total} nodes have its newest change"
    return f"{status}{since}: {why}"


def _serving(row: JsonObject) -> str:
    counted = number(row, "nodesTotal")
    applied = "the only node has" if counted == 1 else f"all {counted} nodes have"
    newest = f"{applied} its newest change" if counted else "nothing of it has to be on a node"
    told = text(row, "statusDetail.message").strip() or text(row, "statusDetail.reason")
    return f"{told}; {newest}" if told else newest


def _placement(pool: JsonObject) -> str:
    name, fleet = label(text(pool, "pool")), text(pool, "placement.fleet")
    reason = text(pool, "placement.reason")
    if not fleet:
        return f"{name} is on no fleet; {reason or 'it is not placed yet'}"
    if leaving := text(pool, "placement.leavingFleet"):
        return f"{name} moves from {label(leaving)} to {label(fleet)}: {reason}"
    return f"{name} is on {label(fleet)}: {reason}"


def _resources(pool: JsonObject, *, wide: bool) -> list[str]:
    told: list[str] = []
    settled = unheld = 0
    away: set[str] = set()
    for resource in objects(pool, "resources"):
        head = f"{kind_of(resource)} {label(text(resource, 'name'))}"
        everywhere = objects(resource, "nodes")
        verdicts = [each for each in everywhere if text(each, "message") != _AWAY]
        away |= {leaf(text(each, "node")) for each in everywhere if each not in verdicts}
        open_ones = [each for each in verdicts if text(each, "state") != "APPLIED"]
        unheld += not verdicts
        settled += bool(verdicts) and not open_ones
        told += [f"{head}: {_verdict(resource, each)}" for each in open_ones]
        if wide and not open_ones:
            told.append(f"{head}: {_applied(verdicts)}, version {text(resource, 'version')}")
    if settled and not wide:
        told.append(f"{_counted(settled)} confirmed by every {'connected ' * bool(away)}node")
    if unheld and not wide:
        told.append(f"{_counted(unheld)} ready, and no node is connected to have them")
    if away:
        told.append(f"not connected, and told nothing new: {', '.join(sorted(away))}")
    return told


def _counted(resources: int) -> str:
    return f"{resources} Envoy resource{'' if resources == 1 else 's'}"


def _applied(verdicts: list[JsonObject]) -> str:
    return f"applied by {len(verdicts)}/{len(verdicts)}" if verdicts else "no node is connected"


def _verdict(resource: JsonObject, verdict: JsonObject) -> str:
    """Gives what one node says of a resource: what it runs, and whether more was sent to it."""
    node, state = leaf(text(verdict, "node")), text(verdict, "state")
    message, runs = text(verdict, "message"), version(text(verdict, "version"))
    if state == "REJECTED":
        said = f'REJECTED "{message.strip()}"' if message.strip() else "REJECTED"
        return f"node {node} {said}" + (f", runs {runs}" if runs else "")
    on = f", runs {runs}" if runs else ""
    new = text(verdict, "sentVersion")
    if (sent := text(verdict, "sentTime")) and new == text(resource, "version"):
        return f"node {node} {state}, sent {version(new)} at {clock(sent)}, not answered{on}"
    why = reason(resource, message)
    return f"node {node} {state}, not sent yet{on}" + (f": {why}" if why else "")
