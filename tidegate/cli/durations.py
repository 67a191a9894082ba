"""Times as people write them (`500ms`, `30s`, `2m`) and as proto3 JSON does (`0.5s`)."""

import re
from datetime import UTC, datetime

from tidegate.cli.failure import CommandError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")


def seconds(words: str, *, option: str) -> float:
    """Gives the seconds of `500ms`, `30s`, `2m`, `1h`; a bare number is seconds.

    Raises:
        CommandError: it is none of these.
    """
    match = _DURATION.match(words if words[-1:].isalpha() else words + "s")
    if not match:
        raise CommandError(
            f"{option}: {words!r} is no duration", why=["write 500ms, 30s, 2m or 1h"]
        )
    return float(match[1]) * _UNITS[match[2]]


def duration(words: str | None, *, option: str) -> str | None:
    """Gives a duration as proto3 JSON writes it (`1.5s`), None for None."""
    if words is None:
        return None
    return f"{seconds(words, option=option):.9f}".rstrip("0").rstrip(".") + "s"


def span(words: str) -> str:
    """Gives a proto3 JSON duration for people: `61 ms`, `2.3 s`, `4m`; "" for none."""
    if not words:
        return ""
    length = float(words.removesuffix("s"))
    if length < 1:
        return f"{length * 1000:.0f} ms"
    return f"{length:.1f} s" if length < 60 else f"{length // 60:.0f}m"  # noqa: PLR2004 - a minute


def age(then: str, *, now: datetime | None = None) -> str:
    """Gives how long ago a proto3 JSON timestamp was: `4s`, `2m`, `3d`; "" for none."""
    if not then:
        return ""
    passed = max(0.0, ((now or datetime.now(UTC)) - moment(then)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if passed >= size:
            return f"{int(passed // size)}{unit}"
    return f"{int(passed)}s"


def clock(then: str) -> str:
    """Gives a proto3 JSON timestamp as local time of day; "" for none."""
    return moment(then).astimezone().strftime("%H:%M:%S") if then else ""


def moment(then: str) -> datetime:
    """Gives a proto3 JSON timestamp."""
    # It may carry nanoseconds; Python 3.11 reads at most six digits after the point.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", then))
