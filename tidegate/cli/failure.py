"""How a command ends badly: what, why, and the next command; and its exit code."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes, which scripts may rely on."""

    DONE = 0
    FAULT = 1
    """Something nobody foresaw: a defect, or a call the server does not know."""
    USAGE = 2
    """The command, or an object in it, breaks a rule."""
    NOT_FOUND = 3
    CONFLICT = 4
    """Right in itself, but not as things stand: taken, changed, over quota, not allowed."""
    REJECTED = 5
    """Envoy refused the configuration, or no fleet can carry it."""
    TIMED_OUT = 6
    """`--wait` ran out; the change stands and is still being applied."""
    UNAVAILABLE = 7


@dataclass
class CommandError(Exception):
    """A command's end: `what` failed, `why` (one line each), and the `following` command.

    `reason` is the server's stable word for it. `missing` is the resource name that was not
    found, if that is what failed.
    """

    what: str
    why: Sequence[str] = ()
    following: Sequence[str] = ()
    code: Exit = Exit.USAGE
    reason: str = ""
    missing: str = ""

    def __str__(self) -> str:
        """Gives the lines that are printed on stderr."""
        reason = f" ({self.reason})" if self.reason else ""
        lines = [f"error: {self.what}{reason}", *(f"  {line}" for line in self.why)]
        if self.following:
            lines.append("next: " + " | ".join(self.following))
        return "\n".join(lines)


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """Gives ` (did you mean 'x'?)`, or "" where nothing known is like the word."""
    folded = {each.lower(): each for each in known}
    close = get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""
