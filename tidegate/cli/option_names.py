"""Which option of a command sets a field: refusals name what was typed, not the API's field."""

import re
from collections.abc import Collection, Sequence
from inspect import Parameter
from typing import Final

from typer.models import OptionInfo

_OTHERWISE: Final = {
    "expected_codes": "--expect",
    "fleet_labels": "--fleet-label",
    "health_monitors": "--monitor",
    "labels": "--label",
    "project": "--for-project",
    "service_types": "--service-type",
    "session_persistence": "--persistence",
    "session_persistence.ttl": "--persistence-ttl",
    "timeout": "--check-timeout",
    "url_path": "--path",
    "vip_ranges": "--vip-range",
}
"""Options that are not called as their field is."""

_INDEX: Final = re.compile(r"\[[^]]*\]")


def options_of(parameters: Sequence[Parameter]) -> frozenset[str]:
    """Gives the options (`--check-timeout`) among a command's own parameters."""
    found: set[str] = set()
    for each in parameters:
        for info in getattr(each.annotation, "__metadata__", ()):
            if isinstance(info, OptionInfo):
                # In Annotated the first name stands where a default would.
                said = [info.default, *(info.param_decls or ())]
                names = [name for name in said if isinstance(name, str) and name[:1] == "-"]
                found.update(names or [_dashed(each.name)])
    return frozenset(found)


def option_of(field: str, options: Collection[str]) -> str:
    """Gives the option that sets a field (`session_persistence.ttl`), or the field if none does."""
    parts = _INDEX.sub("", field).split(".")
    for length in range(len(parts), 0, -1):
        path = ".".join(parts[:length])
        for option in (_OTHERWISE.get(path, ""), _dashed(path)):
            if option in options:
                return option
    return field


def _dashed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
