"""Reading fields of messages, collecting all that is wrong with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration

from lbaas.model.errors import InvalidArgument, Violation
from lbaas.model.rules import choose

E = TypeVar("E", bound=StrEnum)
V = TypeVar("V", bound=int)

_UNSPECIFIED = "CODE_UNSPECIFIED"
_LONGEST_SECONDS = 315_576_000_000  # google.protobuf.Duration: +-10,000 years
_NANOS = 1_000_000_000


@dataclass(slots=True)
class Reading:
    """What was found wrong so far, under a path such as `members[2]`."""

    path: str = ""
    violations: list[Violation] = field(default_factory=list)

    def under(self, path: str) -> "Reading":
        """Gives a reading of a part, which adds to the same violations."""
        return Reading(self._at(path), self.violations)

    def wrong(self, name: str, description: str, reason: str) -> None:
        """Notes a violation."""
        self.violations.append(Violation(self._at(name), description, reason))

    def add(self, violations: Sequence[Violation]) -> None:
        """Takes the model's violations, but for fields that could not be read anyway."""
        unreadable = {each.field for each in self.violations}
        moved = [replace(each, field=self._at(each.field)) for each in violations]
        self.violations += [each for each in moved if each.field not in unreadable]

    def finish(self) -> None:
        """Ends the reading.

        Raises:
            InvalidArgument: Something is wrong; carries all of it.
        """
        if self.violations:
            raise InvalidArgument(self.violations)

    def choice(
        self,
        name: str,
        value: V,
        words: Callable[[V], str],
        choices: type[E],
        *,
        instead: E,
    ) -> E:
        """Gives the enum's word for a value that must be set; `instead` where there is none."""
        found = self.optional_choice(name, value, words, choices)
        if found is None:
            if value == 0:
                self.violations.append(replace(choose(name, choices), field=self._at(name)))
            return instead
        return found

    def optional_choice(
        self, name: str, value: V, words: Callable[[V], str], choices: type[E]
    ) -> E | None:
        """Gives the enum's word for a value, or None where it is not set or unknown."""
        try:
            word = words(value)
        except ValueError:
            known = ", ".join(choices)
            self.wrong(name, f"{value} is no known value: choose one of {known}", "UNKNOWN_ENUM")
            return None
        return None if word == _UNSPECIFIED else choices(word)

    def duration(
        self,
        name: str,
        message: Duration,
        *,
        given: bool,
        required: bool = False,
        instead: timedelta = timedelta(0),
    ) -> timedelta:
        """Gives a duration; `instead` where it is not given, or none."""
        if not given:
            if required:
                self.wrong(name, "is required: give a duration such as 5s", "REQUIRED")
            return instead
        seconds, nanos = message.seconds, message.nanos
        if abs(seconds) > _LONGEST_SECONDS or abs(nanos) >= _NANOS or seconds * nanos < 0:
            self.wrong(name, "is no valid duration", "INVALID_DURATION")
            return instead
        if nanos % 1000:
            self.wrong(name, "is finer than a microsecond: round it", "INVALID_DURATION")
            return instead
        return timedelta(seconds=seconds, microseconds=nanos // 1000)

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
