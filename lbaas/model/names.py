"""Resource names (AIP-122): building and reading them."""

import re
from dataclasses import dataclass

_LABEL = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
ID_PATTERN = re.compile(rf"^{_LABEL}$")
"""RFC 1034 label: a lower-case letter first, then letters, digits, hyphens; 63 at most."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of resource: its collection and the pattern of its names."""

    title: str
    pattern: str

    @property
    def regex(self) -> re.Pattern[str]:
        """Gives the compiled form of the name pattern."""
        return re.compile("^" + re.sub(r"\{(\w+)\}", rf"(?P<\1>{_LABEL})", self.pattern) + "$")

    def parse(self, name: str) -> dict[str, str] | None:
        """Gives the ids in a name, or None if it is not a name of this kind."""
        match = self.regex.match(name)
        return match.groupdict() if match else None


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


def kind_of(name: str) -> Kind | None:
    """Gives the kind whose pattern the name matches, or None."""
    return next((kind for kind in KINDS if kind.parse(name) is not None), None)


def project_of(name: str) -> str:
    """Gives the project id in a tenant's resource name, or "" for an operator's."""
    parts = name.split("/")
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
