"""The rules that Envoy's protos use (`validate.rules`), each compiled to a function.

Texts are those of Envoy's own validators. A test reads all rules of the installed protos and
compares them with those in the descriptors that Envoy's binary carries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any as Value

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from validate.validate_pb2 import (
    FieldRules,
    KnownRegex,
    MessageRules,
    RepeatedRules,
    StringRules,
    UInt32Rules,
)

Check = Callable[[Value], str]
"""Takes a field's value, gives what is wrong with it; empty if nothing is."""

DIFFERENT_IN_ENVOY: Mapping[str, FieldRules] = {
    "envoy.config.cluster.v3.Cluster.health_checks": FieldRules(
        repeated=RepeatedRules(max_items=8)
    ),
    "envoy.config.route.v3.RouteConfiguration.vhost_header": FieldRules(
        string=StringRules(well_known_regex=KnownRegex.HTTP_HEADER_NAME, strict=False)
    ),
    "envoy.extensions.filters.http.gcp_authn.v3.TokenHeader.name": FieldRules(
        string=StringRules(
            well_known_regex=KnownRegex.HTTP_HEADER_NAME, strict=False, ignore_empty=True
        )
    ),
    "envoy.type.v3.TokenBucket.max_tokens": FieldRules(uint32=UInt32Rules(gte=0)),
    **{
        f"envoy.extensions.{name}": FieldRules()
        for name in (
            "access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig.common_config",
            "access_loggers.stats.v3.Config.stat_prefix",
            "dynamic_modules.v3.DynamicModuleConfig.name",
            "filters.http.gcp_authn.v3.Audience.url",
            "filters.http.ip_tagging.v3.IPTagging.ip_tags",
            "filters.http.jwt_authn.v3.JwtClaimToHeader.claim_name",
            "filters.http.oauth2.v3.OAuth2Credentials.token_secret",
            "http.injected_credentials.oauth2.v3.OAuth2.ClientCredentials.client_secret",
            "resource_monitors.fixed_heap.v3.FixedHeapConfig.max_heap_size_bytes",
        )
    },
}
"""Rules that Envoy 1.40 has otherwise than the protos installed (xds-protos 1.85 is older)."""

DEADLY: Mapping[str, FieldRules] = {
    "envoy.config.listener.v3.AdditionalAddress.address": FieldRules(
        message=MessageRules(required=True)
    ),
}
"""What Envoy 1.40 declares no rule for, and dies of ("panic: unset oneof", measured)."""

_HEADER_NAME = r"^:?[0-9a-zA-Z!#$%&'*+-.^_|~\x60]+$"
_HEADER_VALUE = r"^[^\x00-\x08\x0a-\x1f\x7f]*$"
_HEADER_TEXT = r"^[^\x00\x0a\x0d]*$"
"""What is not `strict` keeps only this."""

_MODIFIERS = frozenset({"strict", "ignore_empty"})
_REQUIRED = frozenset({"duration.required", "any.required"})
_SCALARS = frozenset({"string", "bytes", "float", "double", "int32", "int64", "uint32", "uint64"})
"""Of these a field may also be a wrapper: google.protobuf.UInt32Value, ..."""


def check_of(rules: FieldRules, descriptor: FieldDescriptor) -> tuple[Check | None, list[str]]:
    """Gives what checks a field's value, and the rules of which nothing is known.

    Whether a field must be there, and what is in its messages, is not its value's matter.
    """
    kind = rules.WhichOneof("type")
    if kind is None:
        return None, []
    return _check(kind, rules, descriptor)


def _check(
    kind: str, rules: FieldRules, descriptor: FieldDescriptor
) -> tuple[Check | None, list[str]]:
    checks: list[Check] = []
    unread: list[str] = []
    own = getattr(rules, kind)
    for rule, value in own.ListFields():
        name = rule.name
        if name in _MODIFIERS or f"{kind}.{name}" in _REQUIRED:
            continue
        if name in ("items", "keys", "values"):
            check, more = _elements(name, value, descriptor)
            unread += more
        else:
            check = _rule(kind, name, value, own, descriptor)
            unread += [] if check else [f"{kind}.{name}"]
        checks += [check] if check else []
    if not checks:
        return None, unread
    check = checks[0] if len(checks) == 1 else _all(checks)
    if kind in _SCALARS and descriptor.message_type is not None:
        check = _wrapped(check)
    if kind in _SCALARS and own.ignore_empty:
        check = _unless_empty(check)
    return check, unread


def _all(checks: Sequence[Check]) -> Check:
    def check(value: Value) -> str:
        for each in checks:
            if wrong := each(value):
                return wrong
        return ""

    return check


def _wrapped(inner: Check) -> Check:
    return lambda wrapper: inner(wrapper.value)


def _unless_empty(inner: Check) -> Check:
    return lambda value: inner(value) if value else ""


def _elements(
    name: str, rules: FieldRules, descriptor: FieldDescriptor
) -> tuple[Check | None, list[str]]:
    """Gives what checks each element of a list, or each key or value of a map."""
    kind = rules.WhichOneof("type")
    if kind is None:
        return None, []
    each, unread = _check(kind, rules, _element(name, descriptor))
    if each is None:
        return None, unread
    one = each

    def check(values: Value) -> str:
        entries = values.items() if name == "values" else enumerate(values)
        if name == "values" and not values:
            return ""
        for at, value in entries:
            if wrong := one(value):
                return f"[{at}]: {wrong}"
        return ""

    return check, unread


def _element(name: str, descriptor: FieldDescriptor) -> FieldDescriptor:
    if name == "items" or descriptor.message_type is None:
        return descriptor
    return descriptor.message_type.fields_by_name["key" if name == "keys" else "value"]


def _rule(
    kind: str, name: str, limit: Value, rules: Value, descriptor: FieldDescriptor
) -> Check | None:
    if kind == "duration":
        return _DURATION[name](limit) if name in _DURATION else None
    if kind == "enum":
        return _enum(name, limit, descriptor)
    if name == "well_known_regex":
        return _header(limit, strict=rules.strict)
    if kind in ("string", "bytes") and name in _TEXT:
        return _TEXT[name](limit)
    if kind in ("repeated", "map"):
        return _LISTS[name](limit) if name in _LISTS else None
    if name in ("in", "not_in"):
        return _listed(frozenset(limit), inside=name == "in")
    return _NUMBER[name](limit) if name in _NUMBER else None


def _said(wrong: Callable[[Value], bool], text: str) -> Check:
    return lambda value: text if wrong(value) else ""


def _listed(options: frozenset[Value], *, inside: bool) -> Check:
    shown = ", ".join(sorted(map(str, options)))
    if inside:
        return _said(lambda value: value not in options, f"value must be in list [{shown}]")
    return _said(lambda value: value in options, f"value must not be in list [{shown}]")


def _enum(name: str, limit: Value, descriptor: FieldDescriptor) -> Check | None:
    if name == "defined_only" and descriptor.enum_type is not None:
        defined = frozenset(descriptor.enum_type.values_by_number)
        text = "value must be one of the defined enum values"
        return _said(lambda value: value not in defined, text)
    if name in ("in", "not_in"):
        return _listed(frozenset(limit), inside=name == "in")
    return None


def _header(which: int, *, strict: bool) -> Check:
    pattern = _HEADER_NAME if which == KnownRegex.HTTP_HEADER_NAME else _HEADER_VALUE
    return _pattern(pattern if strict else _HEADER_TEXT)


def _pattern(pattern: str) -> Check:
    # RE2 there, `re` here: the patterns in use mean the same to both, as a test shows.
    match = re.compile(pattern).fullmatch
    return _said(lambda value: not match(value), f'value does not match regex pattern "{pattern}"')


def _bytes(text: Value) -> int:
    return len(text.encode()) if isinstance(text, str) else len(text)


_Made = Callable[[Value], Check]

# Not in the form `value < limit`: what is no number would pass. Envoy 1.40 lets it pass and dies
# of it ("terminate called: Value not in the range of 0..100", measured).
_NUMBER: Mapping[str, _Made] = {
    "const": lambda one: _said(lambda value: value != one, f"value must equal {one}"),
    "gt": lambda low: _said(lambda value: not value > low, f"value must be greater than {low}"),
    "gte": lambda low: _said(
        lambda value: not value >= low, f"value must be greater than or equal to {low}"
    ),
    "lt": lambda high: _said(lambda value: not value < high, f"value must be less than {high}"),
    "lte": lambda high: _said(
        lambda value: not value <= high, f"value must be less than or equal to {high}"
    ),
}


def _in_time(made: _Made) -> _Made:
    """Gives the same for durations, which are compared as seconds and nanoseconds."""

    def of(limit: Duration) -> Check:
        edge = limit.seconds, limit.nanos
        inner, shown = made(edge), f"{limit.seconds + limit.nanos / 1e9:g}s"
        return lambda value: inner((value.seconds, value.nanos)).replace(str(edge), shown)

    return of


_DURATION: Mapping[str, _Made] = {name: _in_time(made) for name, made in _NUMBER.items()}

_TEXT: Mapping[str, _Made] = {
    "min_len": lambda least: _said(
        lambda value: len(value) < least, f"value length must be at least {least} characters"
    ),
    "max_len": lambda most: _said(
        lambda value: len(value) > most, f"value length must be at most {most} characters"
    ),
    "min_bytes": lambda least: _said(
        lambda value: _bytes(value) < least, f"value length must be at least {least} bytes"
    ),
    "max_bytes": lambda most: _said(
        lambda value: _bytes(value) > most, f"value length must be at most {most} bytes"
    ),
    "pattern": _pattern,
    "prefix": lambda text: _said(
        lambda value: not value.startswith(text), f'value does not have prefix "{text}"'
    ),
    "suffix": lambda text: _said(
        lambda value: not value.endswith(text), f'value does not have suffix "{text}"'
    ),
}

_LISTS: Mapping[str, _Made] = {
    "min_items": lambda least: _said(
        lambda value: len(value) < least, f"value must contain at least {least} item(s)"
    ),
    "max_items": lambda most: _said(
        lambda value: len(value) > most, f"value must contain no more than {most} item(s)"
    ),
    "min_pairs": lambda least: _said(
        lambda value: len(value) < least, f"value must contain at least {least} pair(s)"
    ),
    "unique": lambda _: _said(
        lambda value: len(set(value)) < len(value), "repeated value must contain unique items"
    ),
}
