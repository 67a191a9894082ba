"""The filter language of lists: `field = value AND labels.k = "v"` (a part of AIP-160)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lbaas.model.enums import (
    FleetKind,
    HealthMonitorType,
    LbMethod,
    NodeState,
    Protocol,
    SessionPersistenceType,
)
from lbaas.model.errors import InvalidArgument, Violation
from lbaas.model.objects import (
    Fleet,
    HealthMonitor,
    Member,
    NodeView,
    Pool,
    ServiceType,
    StoredObject,
    Vip,
)
from lbaas.model.rules.text import shown

MAX_LENGTH = 2000
MAX_TERMS = 20

_TERM = re.compile(
    r"""\s*(?P<field>[A-Za-z_][A-Za-z0-9_./-]*)\s*(?P<operator>!=|<=|>=|[=<>:])\s*
    (?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s"'()=<>!]+)\s*""",
    re.VERBOSE,
)
_AND = re.compile(r"AND(?=\s)")
_ESCAPED = re.compile(r"\\(.)")
_LABELS = "labels."
_HOW = 'write it like: protocol = HTTP AND labels.team = "shop"'


Filterable = StoredObject | NodeView
"""What lists hold."""


@dataclass(frozen=True, slots=True)
class Named:
    """A field that may be filtered by: how to read it, and which words it has (none: any)."""

    read: Callable[[Filterable], str | tuple[str, ...]]
    words: tuple[str, ...] = ()
    number: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """One `field = value`; for a label `field` is `labels` and `key` the label's key."""

    field: str
    value: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """Terms that an object must match, all of them; without terms everything matches."""

    terms: tuple[Term, ...] = ()

    def matches(self, obj: Filterable) -> bool:
        """Tells whether the object, of the kind it was parsed for, matches every term."""
        return all(_matches(term, obj) for term in self.terms)


EVERY = Filter()
"""Matches everything."""


def parse(text: str, kind: type[Filterable]) -> Filter:
    """Gives the filter that a list's caller wrote, for objects of a kind.

    Args:
        text: as written; empty or blank matches everything.
        kind: the class of the objects to match: its named fields are allowed, and labels.

    Raises:
        InvalidArgument: field `filter`; reason INVALID_FILTER.
    """
    if len(text) > MAX_LENGTH:
        raise _invalid(f"has {len(text)} characters; shorten it to at most {MAX_LENGTH}")
    terms: list[Term] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TERM.match(text, at)
        if match is None:
            raise _invalid(f"cannot be read from {shown(text[at:].strip())} on; {_HOW}")
        terms.append(_term(match, kind))
        if len(terms) > MAX_TERMS:
            raise _invalid(f"has too many terms; keep at most {MAX_TERMS}")
        at = match.end()
        if at < end:
            joined = _AND.match(text, at)
            if joined is None:
                raise _invalid(
                    f"needs AND and a further term where it has {shown(text[at:].strip())}; {_HOW}"
                )
            at = joined.end()
    return Filter(tuple(terms))


def fields_of(kind: type[Filterable]) -> tuple[str, ...]:
    """Gives the fields that lists of a kind can be filtered by, beside `labels.KEY`."""
    return tuple(sorted(_FIELDS[kind]))


def _term(match: re.Match[str], kind: type[Filterable]) -> Term:
    name, operator, value = match["field"], match["operator"], _unquoted(match["value"])
    if operator != "=":
        raise _invalid(f"uses {operator!r} on {name}; only '=' is known")
    if name.startswith(_LABELS) and kind is not NodeView:
        return Term("labels", value, key=name.removeprefix(_LABELS))
    named = _FIELDS[kind].get(name)
    if named is None:
        raise _invalid(
            f"names {shown(name)}, by which these are not filtered; use"
            f" {', '.join(fields_of(kind))}{'' if kind is NodeView else ' or labels.KEY'}"
        )
    if named.words and value not in named.words:
        raise _invalid(f"gives {name} the value {shown(value)}; use {', '.join(named.words)}")
    if named.number:
        if not re.fullmatch(r"-?[0-9]{1,10}", value):
            raise _invalid(f"gives {name} the value {shown(value)}; use a whole number")
        value = str(int(value))
    return Term(name, value)


def _unquoted(value: str) -> str:
    return _ESCAPED.sub(r"\1", value[1:-1]) if value[0] in "\"'" else value


def _matches(term: Term, obj: Filterable) -> bool:
    if term.field == "labels":
        return not isinstance(obj, NodeView) and obj.labels.get(term.key) == term.value
    actual = _FIELDS[type(obj)][term.field].read(obj)
    return term.value == actual if isinstance(actual, str) else term.value in actual


def _invalid(description: str) -> InvalidArgument:
    return InvalidArgument(
        [Violation("filter", description, "INVALID_FILTER")], reason="INVALID_FILTER"
    )


def _plain(name: str) -> Named:
    return Named(lambda obj: str(getattr(obj, name)))


def _number(name: str) -> Named:
    return Named(lambda obj: str(getattr(obj, name)), number=True)


def _choice(name: str, words: type[StrEnum]) -> Named:
    return Named(lambda obj: str(getattr(obj, name) or ""), words=tuple(words))


def _switch(name: str) -> Named:
    return Named(lambda obj: "true" if getattr(obj, name) else "false", words=("true", "false"))


def _several(name: str) -> Named:
    return Named(lambda obj: tuple(getattr(obj, name)))


def _placed(obj: Filterable) -> str:
    return obj.placement.fleet if isinstance(obj, Pool) and obj.placement else ""


def _persistence(obj: Filterable) -> str:
    if isinstance(obj, Vip) and obj.session_persistence:
        return str(obj.session_persistence.type)
    return ""


_EVERY_FIELD = {"name": _plain("name"), "display_name": _plain("display_name")}
_TENANT_FIELDS = {**_EVERY_FIELD, "admin_state_up": _switch("admin_state_up")}
_FIELDS: Mapping[type[Filterable], Mapping[str, Named]] = {
    Pool: {
        **_TENANT_FIELDS,
        "protocol": _choice("protocol", Protocol),
        "lb_method": _choice("lb_method", LbMethod),
        "service_type": _plain("service_type"),
        "health_monitors": _several("health_monitors"),
        "placement.fleet": Named(_placed),
    },
    Member: {
        **_TENANT_FIELDS,
        "address": _plain("address"),
        "port": _number("port"),
        "weight": _number("weight"),
        "backup": _switch("backup"),
    },
    HealthMonitor: {**_TENANT_FIELDS, "type": _choice("type", HealthMonitorType)},
    Vip: {
        **_TENANT_FIELDS,
        "pool": _plain("pool"),
        "address": _plain("address"),
        "port": _number("port"),
        "protocol": _choice("protocol", Protocol),
        "session_persistence.type": Named(_persistence, words=tuple(SessionPersistenceType)),
    },
    ServiceType: {
        **_EVERY_FIELD,
        "default": _switch("default"),
        "fleet_kind": _choice("fleet_kind", FleetKind),
    },
    Fleet: {
        **_EVERY_FIELD,
        "kind": _choice("kind", FleetKind),
        "project": _plain("project"),
        "service_types": _several("service_types"),
        "draining": _switch("draining"),
        "canary": _switch("canary"),
    },
    NodeView: {
        "name": _plain("name"),
        "state": _choice("state", NodeState),
        "connected": _switch("connected"),
        "envoy_version": _plain("envoy_version"),
    },
}
