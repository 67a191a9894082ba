"""Rules for numbers, durations and choices: in words that say what to do."""

from datetime import timedelta
from enum import StrEnum

from lbaas.model.errors import Violation

LARGEST = 2**31 - 1
"""The largest int32."""


def within(field: str, value: int, *, low: int, high: int) -> tuple[Violation, ...]:
    """Checks low <= value <= high."""
    if low <= value <= high:
        return ()
    return (Violation(field, f"{value} is out of range: use {low} to {high}", "OUT_OF_RANGE"),)


def unlimited_or(field: str, value: int, *, low: int) -> tuple[Violation, ...]:
    """Checks -1 (no limit), or low <= value <= 2^31-1."""
    if value == -1 or low <= value <= LARGEST:
        return ()
    return (
        Violation(
            field,
            f"{value} is out of range: use -1 for no limit, or {low} to {LARGEST}",
            "OUT_OF_RANGE",
        ),
    )


def lasting(
    field: str, value: timedelta, *, low: timedelta, high: timedelta
) -> tuple[Violation, ...]:
    """Checks low <= value <= high, of a duration."""
    if low <= value <= high:
        return ()
    return (
        Violation(
            field,
            f"{seconds(value)} is out of range: use {seconds(low)} to {seconds(high)}",
            "OUT_OF_RANGE",
        ),
    )


def seconds(value: timedelta) -> str:
    """Gives a duration as proto3 JSON writes it: `1.5s`."""
    text = f"{value.total_seconds():.6f}".rstrip("0").rstrip(".")
    return f"{text}s"


def choose(field: str, choices: type[StrEnum]) -> Violation:
    """Gives the violation for a choice that was not made, or is none of the enum's words."""
    return Violation(field, f"is required: choose one of {', '.join(choices)}", "REQUIRED")
