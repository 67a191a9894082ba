"""Capabilities as the server words them in refusals: `lb_method=SOURCE_IP`."""

from tidegate.cli.failure import CommandError, did_you_mean
from tidegate.cli.json_value import JsonObject, JsonValue

_LISTS = {
    "lb_method": "lbMethods",
    "protocol": "protocols",
    "health_monitor_type": "healthMonitorTypes",
    "session_persistence": "sessionPersistences",
}
_FLAGS = {"connection_limit": "connectionLimit", "multiple_monitors": "multipleMonitors"}


def capabilities_of(words: list[str] | None, *, option: str) -> JsonObject | None:
    """Gives `lb_method=round_robin`, `multiple_monitors` ... as the API's Capabilities.

    Raises:
        CommandError: a word is unknown; every such word is named.
    """
    if not words:
        return None
    found: JsonObject = {}
    wrong = []
    for word in (each.strip() for one in words for each in one.split(",")):
        field, _, value = word.replace("-", "_").partition("=")
        if field in _LISTS and value:
            values = found.setdefault(_LISTS[field], [])
            if isinstance(values, list):
                values.append(value.upper())
        elif field in _FLAGS and not value:
            found[_FLAGS[field]] = True
        else:
            known = [*(f"{each}=..." for each in _LISTS), *_FLAGS]
            wrong.append(f"{word!r} is unknown{did_you_mean(field, [*_LISTS, *_FLAGS])}")
            wrong.append("write one of: " + ", ".join(known))
    if wrong:
        raise CommandError(f"{option}: no such capability", why=list(dict.fromkeys(wrong)))
    return found


def names_of_types(words: list[str] | None) -> list[JsonValue] | None:
    """Gives service types' ids or names as names, None for none given."""
    if not words:
        return None
    ids = [each.strip() for word in words for each in word.split(",")]
    return [each if "/" in each else f"serviceTypes/{each}" for each in ids]
