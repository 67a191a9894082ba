"""Reading proto3 JSON: the command line works in the API's own words, and only in them."""

from collections.abc import Mapping
from typing import TypeAlias

JsonObject: TypeAlias = dict[str, "JsonValue"]
JsonValue: TypeAlias = JsonObject | list["JsonValue"] | str | int | float | bool | None


def at(value: JsonValue, path: str) -> JsonValue:
    """Gives what stands at a dotted path (`placement.fleet`), or None."""
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def text(value: JsonValue, path: str) -> str:
    """Gives the text at a path; "" where there is none. Numbers come as their digits."""
    found = at(value, path)
    if found is None:
        return ""
    if isinstance(found, bool):
        return "yes" if found else "no"
    return str(found)


def number(value: JsonValue, path: str) -> int:
    """Gives the whole number at a path; 0 where proto3 JSON left it out. int64 is a string."""
    found = at(value, path)
    return int(found) if isinstance(found, (str, int, float)) and found != "" else 0


def objects(value: JsonValue, path: str) -> list[JsonObject]:
    """Gives the list of objects at a path; empty where proto3 JSON left it out."""
    found = at(value, path)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def texts(value: JsonValue, path: str) -> list[str]:
    """Gives the list of texts at a path; empty where there is none."""
    found = at(value, path)
    return [str(each) for each in found] if isinstance(found, list) else []


def given(fields: Mapping[str, JsonValue]) -> JsonObject:
    """Gives the fields that were given: what is None was not, and is left out."""
    return {name: value for name, value in fields.items() if value is not None}
