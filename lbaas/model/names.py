"""Resource names (AIP-122): building, reading and checking them."""

import dataclasses
import re
import secrets
from dataclasses import dataclass

from lbaas.model.errors import Violation

_LABEL = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
ID_PATTERN = re.compile(rf"{_LABEL}\Z")
r"""RFC 1034 label: a lower-case letter first, then letters, digits, hyphens; 63 at most.

Ends in `\Z`, not `$`: `$` would also match before a trailing newline.
"""
ID_RULE = "1-63 lower-case letters, digits and hyphens, a letter first, no hyphen last"
"""The id pattern in words, for messages."""

_VARIABLE = re.compile(r"\{(\w+)\}")
_SHOWN = 80
_GENERATED = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource: its title for people and the pattern of its names."""

    title: str
    pattern: str
    regex: re.Pattern[str] = dataclasses.field(init=False, repr=False, compare=False)
    """The compiled form of the pattern."""

    def __post_init__(self) -> None:
        """Compiles the pattern once: names are parsed on every call."""
        regex = re.compile(_VARIABLE.sub(rf"(?P<\1>{_LABEL})", self.pattern) + r"\Z")
        object.__setattr__(self, "regex", regex)

    def parse(self, name: str) -> dict[str, str] | None:
        """Gives the ids in a name, or None if it is not a name of this kind."""
        match = self.regex.match(name)
        return match.groupdict() if match else None

    def build(self, **ids: str) -> str:
        """Gives the name with these ids: `POOL.build(project="acme", pool="web")`."""
        return self.pattern.format(**ids)


POOL = Kind("pool", "projects/{project}/pools/{pool}")
MEMBER = Kind("member", "projects/{project}/pools/{pool}/members/{member}")
HEALTH_MONITOR = Kind("health monitor", "projects/{project}/healthMonitors/{health_monitor}")
VIP = Kind("VIP", "projects/{project}/vips/{vip}")
SERVICE_TYPE = Kind("service type", "serviceTypes/{service_type}")
FLEET = Kind("fleet", "fleets/{fleet}")
NODE = Kind("node", "fleets/{fleet}/nodes/{node}")
PROJECT = Kind("project", "projects/{project}")
QUOTA = Kind("quota", "projects/{project}/quota")
KINDS = (POOL, MEMBER, HEALTH_MONITOR, VIP, SERVICE_TYPE, FLEET, NODE, PROJECT, QUOTA)
"""Every kind; a name matches exactly one."""


def _shape(segments: list[str]) -> tuple[int, str]:
    """Gives what tells the kinds apart: how many segments, and the last fixed one."""
    count = len(segments)
    return count, segments[-1 if count % 2 else -2]


_BY_SHAPE = {_shape(kind.pattern.split("/")): kind for kind in KINDS}


def kind_of(name: str) -> Kind | None:
    """Gives the kind whose pattern the name matches, or None."""
    kind = _BY_SHAPE.get(_shape(name.split("/")))
    return kind if kind is not None and kind.regex.match(name) else None


def project_of(name: str) -> str:
    """Gives the project id in a tenant's resource name, or "" for an operator's."""
    parts = name.split("/", 2)
    return parts[1] if parts[0] == "projects" and len(parts) > 1 else ""


def pool_of_member(member: str) -> str:
    """Gives the pool's name in a member's name."""
    return member.rsplit("/members/", 1)[0]


def fleet_of_node(node: str) -> str:
    """Gives the fleet's name in a node's name."""
    return node.rsplit("/nodes/", 1)[0]


def leaf(name: str) -> str:
    """Gives the last id of a name."""
    return name.rsplit("/", 1)[-1]


def new_id() -> str:
    """Gives a random id of 16 characters (some 80 bits), for objects created without one."""
    first = secrets.choice(_GENERATED[:26])
    return first + "".join(secrets.choice(_GENERATED) for _ in range(15))


def nearest_id(text: str) -> str:
    """Gives a valid id near to the text (`Web_1` -> `web-1`), or "" if none is near."""
    near = re.sub(r"[^a-z0-9-]+", "-", text[:200].lower()).strip("-")
    near = re.sub(r"^[0-9-]+", "", near)[:63].rstrip("-")
    return near if ID_PATTERN.match(near) else ""


def check_id(text: str, *, field: str) -> tuple[Violation, ...]:
    """Gives what is wrong with an id that a client chose, or nothing."""
    if ID_PATTERN.match(text):
        return ()
    near = nearest_id(text)
    hint = f"; did you mean {near!r}?" if near else ""
    return (Violation(field, f"{_shown(text)} is not an id: use {ID_RULE}{hint}", "INVALID_ID"),)


def check_name(kind: Kind, name: str, *, field: str = "name") -> tuple[Violation, ...]:
    """Gives what is wrong with a name of a kind, or nothing."""
    if kind.regex.match(name):
        return ()
    near = _nearest_name(kind, name)
    hint = f"; did you mean {near!r}?" if near else ""
    text = f"{_shown(name)} is not a {kind.title}'s name: it must look like {kind.pattern}"
    ids = f"; ids: {ID_RULE}" if not near or _fixed(near) == _fixed(name) else ""
    return (Violation(field, f"{text}{ids}{hint}", "INVALID_NAME"),)


def _nearest_name(kind: Kind, name: str) -> str:
    """Gives the name with its ids and collections put right, or "" if it is too far off."""
    wanted, given = kind.pattern.split("/"), name[:400].split("/")
    if len(given) != len(wanted):
        return ""
    parts = [
        nearest_id(mine) if fixed.startswith("{") else _nearest_collection(fixed, mine)
        for fixed, mine in zip(wanted, given, strict=True)
    ]
    return "/".join(parts) if all(parts) else ""


def _nearest_collection(fixed: str, given: str) -> str:
    plain = re.sub(r"[-_]", "", given).lower()
    return fixed if plain in {fixed.lower(), fixed.lower().rstrip("s")} else ""


def _fixed(name: str) -> list[str]:
    return name.split("/")[::2]


def _shown(text: str) -> str:
    """Gives a text as it may stand in a message: escaped and short."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
