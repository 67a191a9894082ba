"""What the commands are about: each noun's names, methods and columns."""

from dataclasses import dataclass

from lbaas.model import names
from tidegate.cli.condition import applied, status, why
from tidegate.cli.durations import age, clock, span
from tidegate.cli.failure import CommandError
from tidegate.cli.json_value import JsonObject, number, objects, text, texts
from tidegate.cli.table import Column


@dataclass(frozen=True, slots=True)
class Noun:
    """One noun of the command line and its resource in the API.

    `title` and `plural` make the methods (`GetPool`, `ListPools`), `field` is the list's field
    in the answer and `id_field` the request's field for a new object's id.
    """

    word: str
    title: str
    plural: str
    field: str
    kind: names.Kind
    columns: tuple[Column, ...]
    wide: tuple[Column, ...] = ()
    about: str = ""

    @property
    def service(self) -> str:
        """Gives the service's name; nodes are read through their fleets."""
        return "FleetService" if self.kind is names.NODE else f"{self.title}Service"

    @property
    def object_field(self) -> str:
        """Gives the request's field that carries the object."""
        return self.title[0].lower() + self.title[1:]

    @property
    def id_field(self) -> str:
        """Gives the request's field that carries a new object's id."""
        return f"{self.object_field}Id"

    @property
    def shape(self) -> str:
        """Gives what a short name looks like."""
        return {"member": "POOL/MEMBER", "node": "FLEET/NODE"}.get(self.word, "NAME")


def full_name(noun: Noun, short: str, project: str) -> str:
    """Gives the resource name of what the user typed: `web`, `web/m1`, or a full name.

    Raises:
        CommandError: it cannot be a name of this kind.
    """
    if noun.kind.parse(short):
        return short
    ids = short.split("/")
    wanted = [part[1:-1] for part in noun.kind.pattern.split("/") if part.startswith("{")]
    values = [project, *ids] if wanted[0] == "project" else ids
    if len(values) == len(wanted):
        name = noun.kind.pattern.format(**dict(zip(wanted, values, strict=True)))
        if noun.kind.parse(name):
            return name
    if len(values) == len(wanted):
        why = "an id is lower-case letters, digits and hyphens, a letter first, at most 63"
    else:
        why = f"a {noun.word} is written {noun.shape}"
    raise CommandError(f"{short!r} is no {noun.kind.title}'s name", why=[why])


def short_name(name: str) -> str:
    """Gives a resource name as people type it after its noun: `web`, `web/m1`."""
    ids = name.split("/")[1::2]
    if name.startswith("projects/") and len(ids) > 1:
        ids = ids[1:]
    return "/".join(ids) or name


def noun_of(name: str) -> Noun | None:
    """Gives the noun that a resource name belongs to, None for none."""
    return next((each for each in NOUNS if each.kind.parse(name)), None)


def label(name: str) -> str:
    """Gives a resource name with its noun: `vip/web`, `member/web/m1`, `fleet/edge`."""
    noun = noun_of(name)
    return f"{noun.word}/{short_name(name)}" if noun else name


def _names(heading: str, path: str) -> Column:
    return Column(heading, lambda row: ",".join(short_name(each) for each in texts(row, path)))


def _yes(heading: str, path: str) -> Column:
    return Column(heading, lambda row: text(row, path) or "no")


def _labels(row: JsonObject) -> str:
    labels = row.get("labels")
    return ",".join(f"{k}={v}" for k, v in labels.items()) if isinstance(labels, dict) else ""


def node_detail(row: JsonObject) -> str:
    """Gives whether a node is the canary, what it refused, has still to confirm, and its agent."""
    rejected = [
        f'{label(text(each, "resource"))}: "{text(each, "message").strip()}"'
        for each in objects(row, "rejections")
    ]
    refused = {text(each, "resource") for each in objects(row, "rejections")}
    pending = [each for each in texts(row, "pending") if each not in refused]
    waiting = [f"waiting for {len(pending)}: {label(pending[0])}"] if pending else []
    if overdue := text(row, "overdue"):
        waiting = [f"waiting for {len(pending)} {overdue}"]
    first = ["the canary"] if row.get("canary") else []
    return "; ".join([*first, *rejected, *waiting, *_agent_detail(row)])


def _agent_detail(row: JsonObject) -> list[str]:
    if not isinstance(row.get("agent"), dict):
        return []
    told: list[str] = []
    if not text(row, "agent.connected"):
        told.append(f"its agent is gone, last heard {age(text(row, 'agent.lastReportTime'))} ago")
    elif not text(row, "agent.envoyRunning"):
        told.append("its Envoy does not answer the agent")
    if refusal := text(row, "agent.pingRefusal"):
        told.append(f"no PING: {refusal}")
    if warming := texts(row, "agent.warming"):
        told.append(f"warming {len(warming)}: {label(warming[0])}")
    return told


def _agent(row: JsonObject) -> str:
    if not isinstance(row.get("agent"), dict):
        return "no"
    return text(row, "agent.driver") if text(row, "agent.connected") else "gone"


def limit_and_shares(row: JsonObject) -> str:
    """Gives a VIP's connection limit, and each node's share of it: `10 (e1 5, e2 5)`."""
    limit = _limit(number(row, "connectionLimit") or -1, none=-1)
    shares = [
        f"{names.leaf(text(each, 'node'))} {number(each, 'connectionLimit')}"
        for each in objects(row, "nodeConnectionLimits")
    ]
    return f"{limit} ({', '.join(shares)})" if shares else limit


def _nodes_agree(row: JsonObject) -> str:
    """Gives `2/4`: how many nodes find a member as its status says."""
    verdicts = objects(row, "verdicts")
    alike = [each for each in verdicts if each.get("operatingStatus") == row.get("operatingStatus")]
    return f"{len(alike)}/{len(verdicts)}" if verdicts else ""


def _failed_monitors(row: JsonObject) -> str:
    failed = {text(each, "failedHealthMonitor") for each in objects(row, "verdicts")}
    return ",".join(sorted(short_name(each) for each in failed if each))


def _up(row: JsonObject) -> str:
    return "down" if row.get("adminStateUp") is False else "up"


def _expects(row: JsonObject) -> str:
    if text(row, "type") not in {"HTTP", "HTTPS"}:
        return "an echo" if text(row, "type") == "PING" else "a connection"
    method, path = text(row, "httpMethod") or "GET", text(row, "urlPath") or "/"
    return f"{method} {path} -> {text(row, 'expectedCodes') or '200'}"


def _limit(value: int, *, none: int) -> str:
    return "unlimited" if value == none else str(value)


def _canary(row: JsonObject) -> str:
    """Gives the node that is given a fleet's changes first, and how many others wait for."""
    if not row.get("canary"):
        return "no"
    node = names.leaf(text(row, "canaryNode")) or "none counts"
    held = len(texts(row, "heldByCanary"))
    return f"{node}, holds {held}" if held else node


NAME = Column("NAME", lambda row: short_name(text(row, "name")))
LIMIT = Column("LIMIT", limit_and_shares)
PROJECT = Column("PROJECT", lambda row: names.project_of(text(row, "name")))
STATUS = Column("STATUS", status)
APPLIED = Column("APPLIED", applied)
WHY = Column("WHY", why)
_ADMIN = Column("ADMIN", _up)
_PROVISIONING = Column.of("PROVISIONING", "provisioningStatus")
_OPERATING = Column.of("OPERATING", "operatingStatus")
_REVISION = Column.of("REVISION", "revision")
_CHANGED = Column("CHANGED", lambda row: age(text(row, "updateTime")))
_DISPLAY = Column.of("DISPLAY_NAME", "displayName")
_LABELS = Column("LABELS", _labels)
_UID = Column.of("UID", "uid")
_TENANT_WIDE = (_ADMIN, _PROVISIONING, _OPERATING, _REVISION, _CHANGED, _DISPLAY, _LABELS, _UID)

POOL = Noun(
    word="pool",
    title="Pool",
    plural="Pools",
    field="pools",
    kind=names.POOL,
    about="Groups of like members, and how a member is chosen.",
    columns=(
        NAME,
        STATUS,
        APPLIED,
        Column.of("PROTOCOL", "protocol"),
        Column.of("LB_METHOD", "lbMethod"),
        _names("MONITORS", "healthMonitors"),
        Column("FLEET", lambda row: short_name(text(row, "placement.fleet"))),
        WHY,
    ),
    wide=(
        _names("VIPS", "vips"),
        Column.of("PLACED_BECAUSE", "placement.reason"),
        *_TENANT_WIDE,
    ),
)
MEMBER = Noun(
    word="member",
    title="Member",
    plural="Members",
    field="members",
    kind=names.MEMBER,
    about="The application servers of a pool.",
    columns=(
        NAME,
        STATUS,
        APPLIED,
        Column.of("ADDRESS", "address"),
        Column.of("PORT", "port"),
        Column("WEIGHT", lambda row: text(row, "weight") or "1"),
        _yes("BACKUP", "backup"),
        WHY,
    ),
    wide=(
        Column("FAILED_MONITORS", _failed_monitors),
        Column("NODES_AGREE", _nodes_agree),
        Column.of("DRAIN_TIMEOUT", "drainTimeout"),
        Column("DRAIN_END", lambda row: clock(text(row, "drainEndTime"))),
        *_TENANT_WIDE,
    ),
)
MONITOR = Noun(
    word="monitor",
    title="HealthMonitor",
    plural="HealthMonitors",
    field="healthMonitors",
    kind=names.HEALTH_MONITOR,
    about="Checks that decide whether a member may serve.",
    columns=(
        NAME,
        STATUS,
        APPLIED,
        Column.of("TYPE", "type"),
        Column.of("DELAY", "delay"),
        Column("EXPECTS", _expects),
        _names("POOLS", "pools"),
        WHY,
    ),
    wide=(
        Column.of("TIMEOUT", "timeout"),
        Column.of("MAX_RETRIES", "maxRetries"),
        Column("RISE", lambda row: text(row, "rise") or "1"),
        *_TENANT_WIDE,
    ),
)
VIP = Noun(
    word="vip",
    title="Vip",
    plural="Vips",
    field="vips",
    kind=names.VIP,
    about="Virtual addresses and ports that take traffic for a pool.",
    columns=(
        NAME,
        STATUS,
        APPLIED,
        Column.of("ADDRESS", "address"),
        Column.of("PORT", "port"),
        Column.of("PROTOCOL", "protocol"),
        Column("POOL", lambda row: short_name(text(row, "pool"))),
        WHY,
    ),
    wide=(
        Column("PERSISTENCE", lambda row: text(row, "sessionPersistence.type") or "none"),
        LIMIT,
        *_TENANT_WIDE,
    ),
)
SERVICE_TYPE = Noun(
    word="service-type",
    title="ServiceType",
    plural="ServiceTypes",
    field="serviceTypes",
    kind=names.SERVICE_TYPE,
    about="What tenants may ask for; fleets offer it.",
    columns=(
        NAME,
        _yes("DEFAULT", "default"),
        Column("FLEET_KIND", lambda row: _named_enum(text(row, "fleetKind"), otherwise="any")),
        Column.of("DESCRIPTION", "description"),
    ),
    wide=(_REVISION, _CHANGED, _DISPLAY, _LABELS, _UID),
)
FLEET = Noun(
    word="fleet",
    title="Fleet",
    plural="Fleets",
    field="fleets",
    kind=names.FLEET,
    about="Groups of like Envoys that carry pools.",
    columns=(
        NAME,
        Column.of("KIND", "kind"),
        Column("NODES", lambda row: str(number(row, "nodesConnected"))),
        Column("POOLS", lambda row: str(number(row, "pools"))),
        Column("MAX_POOLS", lambda row: _limit(number(row, "maxPools"), none=0)),
        Column("FOR", lambda row: names.leaf(text(row, "project")) or "everyone"),
        Column("VIP_RANGES", lambda row: ",".join(texts(row, "vipRanges")) or "any"),
        _yes("DRAINING", "draining"),
    ),
    wide=(
        _names("SERVICE_TYPES", "serviceTypes"),
        Column("HELD", lambda row: str(number(row, "heldRemovals") or "")),
        Column("CANARY", _canary),
        _REVISION,
        _CHANGED,
        _DISPLAY,
        _LABELS,
        _UID,
    ),
)
NODE = Noun(
    word="node",
    title="Node",
    plural="Nodes",
    field="nodes",
    kind=names.NODE,
    about="The Envoys of a fleet, as the control plane sees them.",
    columns=(
        Column("NODE", lambda row: short_name(text(row, "name"))),
        Column.of("STATE", "state"),
        Column("REVISION", lambda row: str(number(row, "baseRevision"))),
        Column("LAG", lambda row: span(text(row, "lag"))),
        Column("SEEN", lambda row: age(text(row, "lastSeenTime"))),
        Column.of("ENVOY", "envoyVersion"),
        Column("AGENT", _agent),
        Column("DETAIL", node_detail),
    ),
)
QUOTA = Noun(
    word="quota",
    title="Quota",
    plural="Quotas",
    field="quotas",
    kind=names.QUOTA,
    about="How many objects a project may have.",
    columns=(
        Column("PROJECT", lambda row: names.project_of(text(row, "name"))),
        Column("VIPS", lambda row: _limit(number(row, "vips"), none=-1)),
        Column("POOLS", lambda row: _limit(number(row, "pools"), none=-1)),
        Column("MEMBERS", lambda row: _limit(number(row, "members"), none=-1)),
        Column("HEALTH_MONITORS", lambda row: _limit(number(row, "healthMonitors"), none=-1)),
    ),
)
NOUNS = (POOL, MEMBER, MONITOR, VIP, SERVICE_TYPE, FLEET, NODE, QUOTA)


def _named_enum(value: str, *, otherwise: str) -> str:
    return otherwise if not value or value.endswith("UNSPECIFIED") else value
