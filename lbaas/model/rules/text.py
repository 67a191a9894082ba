"""Rules for text: what people read, labels, and what reaches Envoy."""

import re
import unicodedata
from collections.abc import Mapping
from itertools import islice
from typing import Protocol

from lbaas.model.errors import Violation
from lbaas.model.names import Kind, check_name

MAX_DISPLAY_NAME = 255
MAX_DESCRIPTION = 1024
MAX_LABELS = 64
MAX_LABEL_KEY = 63
MAX_LABEL_VALUE = 255
MAX_PATH = 255
MAX_HOST = 253
MAX_COOKIE_NAME = 255

_SHOWN = 60
# Cc control, Cs lone surrogates, Zl and Zp line and paragraph separators: none can be shown.
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Marks and overrides of direction make a name read as another (CVE-2021-42574).
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LABEL_KEY = re.compile(r"[A-Za-z](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?\Z")
# RFC 3986 path and query; no fragment. Percent-encoding is checked apart.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*\Z")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# `%CEL(...)%` begins like the percent-encoding of 0xCE: Envoy's formatters have brackets.
_FORMATTER = re.compile(r"%[A-Z_]{3,}\(")
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(
    rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?\Z"
)
# RFC 6265 cookie-name is RFC 2616's token; '%' is left out, for Envoy would format it.
_TOKEN = re.compile(r"[A-Za-z0-9!#$&'*+.^_`|~-]+\Z")


class Described(Protocol):
    """What every object has for people."""

    @property
    def name(self) -> str:
        """The resource name."""

    @property
    def display_name(self) -> str:
        """The name for people."""

    @property
    def description(self) -> str:
        """Free text."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Keys and values for filters."""


def shown(text: str) -> str:
    """Gives a text as it may stand in a message: escaped and short."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def check_described(obj: Described, kind: Kind) -> tuple[Violation, ...]:
    """Checks what every object has: name, display name, description, labels."""
    return (
        *check_name(kind, obj.name),
        *check_printable("display_name", obj.display_name, most=MAX_DISPLAY_NAME),
        *check_printable("description", obj.description, most=MAX_DESCRIPTION),
        *check_labels(obj.labels),
    )


def check_printable(field: str, text: str, *, most: int) -> tuple[Violation, ...]:
    """Checks text for people: any script, but no control characters, and not too long."""
    if len(text) > most:
        return (_too_long(field, text, most=most),)
    bad = next((char for char in text if not _printable(char)), None)
    if bad is None:
        return ()
    return (
        Violation(
            field,
            f"holds the control character U+{ord(bad):04X}; remove it",
            "CONTROL_CHARACTER",
        ),
    )


def check_labels(labels: Mapping[str, str], *, field: str = "labels") -> tuple[Violation, ...]:
    """Checks labels: how many, their keys, their values."""
    found: list[Violation] = []
    if len(labels) > MAX_LABELS:
        found.append(
            Violation(
                field,
                f"there are {len(labels)} labels; keep at most {MAX_LABELS}",
                "TOO_MANY",
            )
        )
    for key, value in islice(labels.items(), MAX_LABELS):
        if len(key) > MAX_LABEL_KEY or not _LABEL_KEY.match(key):
            found.append(
                Violation(
                    field,
                    f"{shown(key)} is not a label's key: use 1-{MAX_LABEL_KEY} letters, digits"
                    " and - _ . /, a letter first, a letter or digit last",
                    "INVALID_LABEL",
                )
            )
        else:
            found += check_printable(f"{field}.{key}", value, most=MAX_LABEL_VALUE)
    return tuple(found)


def check_path(field: str, text: str) -> tuple[Violation, ...]:
    """Checks a path that Envoy requests: `/healthz?full=1`."""
    if len(text) > MAX_PATH:
        return (_too_long(field, text, most=MAX_PATH),)
    problem = ""
    if not text.startswith("/"):
        problem = (
            "give the path alone and put the host into `host`"
            if "://" in text
            else "begin it with '/'"
        )
    elif not _PATH.match(text):
        problem = "percent-encode spaces, control characters and whatever a URL path cannot hold"
    elif _PERCENT.search(text) or _FORMATTER.search(text):
        problem = "use '%' only to percent-encode (as in '%20'); Envoy's %FORMATTERS% are refused"
    if not problem:
        return ()
    return (Violation(field, f"{shown(text)} is not a path: {problem}", "INVALID_PATH"),)


def check_host(field: str, text: str) -> tuple[Violation, ...]:
    """Checks what Envoy sends as Host: a name or address, perhaps with a port; empty is fine."""
    if not text:
        return ()
    if len(text) > MAX_HOST:
        return (_too_long(field, text, most=MAX_HOST),)
    match = _HOST.match(text)
    if match and (match[1] is None or 1 <= int(match[1]) <= 65535):  # noqa: PLR2004 - a port
        return ()
    return (
        Violation(
            field,
            f"{shown(text)} is not a host: use a DNS name or an address, and ':port' if needed"
            " (IPv6 in brackets)",
            "INVALID_HOST",
        ),
    )


def check_cookie_name(field: str, text: str) -> tuple[Violation, ...]:
    """Checks a cookie's name: an RFC 6265 token without '%'."""
    if len(text) > MAX_COOKIE_NAME:
        return (_too_long(field, text, most=MAX_COOKIE_NAME),)
    if _TOKEN.match(text):
        return ()
    return (
        Violation(
            field,
            f"{shown(text)} is not a cookie name: use letters, digits and"
            " ! # $ & ' * + - . ^ _ ` | ~ (RFC 6265, without '%')",
            "INVALID_COOKIE_NAME",
        ),
    )


def _printable(char: str) -> bool:
    return unicodedata.category(char) not in _UNPRINTABLE and char not in _DIRECTION


def _too_long(field: str, text: str, *, most: int) -> Violation:
    return Violation(field, f"has {len(text)} characters; shorten it to at most {most}", "TOO_LONG")
