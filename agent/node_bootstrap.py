"""An Envoy's bootstrap as its driver starts it: admin where the agent reads it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBootstrap:
    """A bootstrap in JSON, and the ids of the fleet and node that it names."""

    text: str
    fleet: str
    node: str


def with_admin(bootstrap: str, socket: Path) -> NodeBootstrap:
    """Gives the bootstrap with its admin interface on a unix socket that its owner alone opens.

    Raises:
        ValueError: it is not JSON, or names no node.
    """
    try:
        content = json.loads(bootstrap)
        fleet, node = cast("str", content["node"]["cluster"]), cast("str", content["node"]["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a bootstrap in JSON that names its node: {error!r}") from error
    # The admin interface has no authentication and can stop Envoy.
    content.setdefault("admin", {})["address"] = {"pipe": {"path": str(socket), "mode": 0o600}}
    return NodeBootstrap(text=json.dumps(content, indent=1) + "\n", fleet=fleet, node=node)
