"""Rules for a health monitor."""

import re
from dataclasses import fields
from datetime import timedelta

from lbaas.model.enums import HealthMonitorType
from lbaas.model.errors import InvalidArgument, Violation
from lbaas.model.names import HEALTH_MONITOR
from lbaas.model.objects import HealthMonitor
from lbaas.model.rules.bounds import lasting, seconds, within
from lbaas.model.rules.text import check_described, check_host, check_path, shown

SHORTEST = timedelta(milliseconds=100)
"""Ten checks a second of every member from every node is the most that we will do.

Envoy itself takes an interval of 1 ns (facts/faults, 4b) and would do little else.
"""
LONGEST = timedelta(hours=1)
MAX_RETRIES = 10
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH")
"""Every method of RFC 9110 and PATCH, without CONNECT: Envoy refuses that in a check."""
MAX_CODES = 64
_HTTP_TYPES = frozenset({HealthMonitorType.HTTP, HealthMonitorType.HTTPS})
_HTTP_FIELDS = ("http_method", "url_path", "expected_codes", "host")
_DEFAULTS = {each.name: each.default for each in fields(HealthMonitor)}
_CODES = re.compile(r"([0-9]{3})(?:-([0-9]{3}))?\Z")
_LOWEST, _HIGHEST = 100, 599


def check_health_monitor(monitor: HealthMonitor) -> tuple[Violation, ...]:
    """Gives every rule that the monitor breaks."""
    http = monitor.type in _HTTP_TYPES
    return (
        *check_described(monitor, HEALTH_MONITOR),
        *_check_times(monitor),
        *within("max_retries", monitor.max_retries, low=1, high=MAX_RETRIES),
        *within("rise", monitor.rise, low=1, high=MAX_RETRIES),
        *(_check_http(monitor) if http else _check_plain(monitor)),
    )


def expected_ranges(codes: str) -> tuple[tuple[int, int], ...]:
    """Gives the status codes meant, as inclusive (first, last) pairs, sorted and merged.

    `"200,202-204"` gives `((200, 200), (202, 204))`. Envoy's Int64Range is half-open: add one.

    Raises:
        InvalidArgument: the text breaks the grammar; rules never let such a text be stored.
    """
    ranges, wrong = _read_codes(codes)
    if wrong:
        raise InvalidArgument([wrong])
    return ranges


def _check_times(monitor: HealthMonitor) -> list[Violation]:
    found = [
        *lasting("delay", monitor.delay, low=SHORTEST, high=LONGEST),
        *lasting("timeout", monitor.timeout, low=SHORTEST, high=LONGEST),
    ]
    if monitor.timeout > monitor.delay:
        found.append(
            Violation(
                "timeout",
                f"{seconds(monitor.timeout)} is longer than the delay"
                f" {seconds(monitor.delay)}: shorten it, or lengthen the delay",
                "TIMEOUT_ABOVE_DELAY",
            )
        )
    return found


def _check_http(monitor: HealthMonitor) -> tuple[Violation, ...]:
    _, codes = _read_codes(monitor.expected_codes)
    return (
        *_check_method(monitor.http_method),
        *check_path("url_path", monitor.url_path),
        *((codes,) if codes else ()),
        *check_host("host", monitor.host),
    )


def _check_method(method: str) -> tuple[Violation, ...]:
    if method in METHODS:
        return ()
    near = method.upper()[:10]
    hint = f"; did you mean {near!r}?" if near in METHODS else ""
    return (
        Violation(
            "http_method",
            f"{shown(method)} is not a method for a check: use one of {', '.join(METHODS)}{hint}",
            "INVALID_METHOD",
        ),
    )


def _check_plain(monitor: HealthMonitor) -> list[Violation]:
    """Checks a PING or TCP monitor: an HTTP field would promise what is never looked at."""
    return [
        Violation(
            name,
            f"has no meaning for a {monitor.type} monitor: leave it out, or make the type HTTP"
            " or HTTPS",
            "NOT_APPLICABLE",
        )
        for name in _HTTP_FIELDS
        if getattr(monitor, name) != _DEFAULTS[name]
    ]


def _read_codes(codes: str) -> tuple[tuple[tuple[int, int], ...], Violation | None]:
    """Gives the merged ranges, or what is wrong with the text."""
    if len(codes) > MAX_CODES:
        return (), _wrong_codes(codes, f"shorten it to at most {MAX_CODES} characters")
    ranges: list[tuple[int, int]] = []
    for part in codes.split(","):
        match = _CODES.match(part.strip(" "))
        if not match:
            return (), _wrong_codes(codes, "write it like 200, 200,202 or 200-204")
        first, last = int(match[1]), int(match[2] or match[1])
        if not _LOWEST <= first <= _HIGHEST or not _LOWEST <= last <= _HIGHEST:
            return (), _wrong_codes(codes, f"status codes are {_LOWEST} to {_HIGHEST}")
        if first > last:
            return (), _wrong_codes(codes, f"write the range as {last}-{first}")
        ranges.append((first, last))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged), None


def _wrong_codes(codes: str, advice: str) -> Violation:
    return Violation(
        "expected_codes", f"{shown(codes)} is no list of status codes: {advice}", "INVALID_CODES"
    )
