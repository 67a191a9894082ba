"""What nodes refused: which name a NACK means, and what is therefore not sent again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xds.cache.resource import Resource

RETRY_SECONDS = 1.0
"""A name that was refused is tried at another version at most once in this time."""

LONGEST_MESSAGE = 4096
"""Characters of a client's words that are kept."""

_WITHIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/@")
_ENDING = frozenset(".:")


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused version, as a node's memory keeps it.

    Attributes:
        version: the version refused; empty if it was a removal.
        message: the client's words, cleaned.
        last_good: what the node held before, if known.
        at: when, on the clock of the streams; 0 if it is from an earlier process.
        alone: from an earlier process, in which no other node of the fleet was given it.
    """

    version: str
    message: str
    last_good: Resource | None
    at: float
    alone: bool = False


def cleaned(message: str) -> str:
    """Gives a client's words without control characters, and not too long."""
    short = message[:LONGEST_MESSAGE]
    return "".join(letter if letter.isprintable() else " " for letter in short)


def culprits(names: Iterable[str], message: str) -> list[str]:
    """Gives those of `names` that `message` speaks of.

    Whole names only: `projects/a/vips/web` is not named by `projects/a/vips/web2`. Longer names
    are looked for first, and what they cover is not looked at again.
    """
    return list(dict.fromkeys(name for _, name in _mentions(names, message)))


def own_words(name: str, guilty: Iterable[str], message: str) -> str:
    """Gives what a message that speaks of several names says of one of them.

    Envoy lists them with their faults, one after the other: what it says of one tenant's is
    nothing for another one. How it begins is for all.
    """
    mentions = sorted(_mentions(guilty, message))
    if len({who for _, who in mentions}) < 2:  # noqa: PLR2004 - it speaks of this one alone
        return message
    ends = [*(at for at, _ in mentions[1:]), len(message)]
    parts = [message[at:end] for (at, who), end in zip(mentions, ends, strict=True) if who == name]
    return (message[: mentions[0][0]] + "".join(parts)).rstrip(" ,;")


def _mentions(names: Iterable[str], message: str) -> list[tuple[int, str]]:
    """Gives where a message speaks of which of some names."""
    found = []
    for name in sorted(names, key=len, reverse=True):
        at = message.find(name) if name else -1
        while at >= 0:
            end = at + len(name)
            if _bounded(message, at, end):
                found.append((at, name))
                message = message[:at] + "\0" * len(name) + message[end:]
            at = message.find(name, at + 1)
    return found


def _bounded(message: str, start: int, end: int) -> bool:
    if start > 0 and (message[start - 1] in _WITHIN or message[start - 1] == "."):
        return False
    while end < len(message) and message[end] in _ENDING:
        end += 1
        if end < len(message) and (message[end] in _WITHIN):
            return False
    return end >= len(message) or message[end] not in _WITHIN


def halves(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Splits the names of a response that was refused without naming one."""
    ordered = tuple(names)
    middle = (len(ordered) + 1) // 2
    return ordered[:middle], ordered[middle:]
