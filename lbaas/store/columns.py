"""How the model's values lie in columns: the same on SQLite and PostgreSQL."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.objects import NO_LABELS, Capabilities, SessionPersistence

NAME: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")
"""Names sort by their bytes everywhere; PostgreSQL would ask the locale, and skip punctuation."""

SERIAL: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")
"""A growing id; SQLite counts up by itself in a column called INTEGER only."""

MICROSECOND = timedelta(microseconds=1)


class UtcTime(TypeDecorator[datetime]):
    """A time, always UTC and aware; SQLite would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Gives UTC, without the zone where the database has no word for it."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Gives an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Duration(TypeDecorator[timedelta]):
    """A span of time, in whole microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """Gives microseconds."""
        del dialect
        return None if value is None else value // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> timedelta | None:
        """Gives the span."""
        del dialect
        return None if value is None else timedelta(microseconds=value)


class Word(TypeDecorator[StrEnum]):
    """One word of an enum, kept as the word; a database enum would need a migration per word."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """Gives the word."""
        del dialect
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """Gives the enum's member."""
        del dialect
        return None if value is None else self.words(value)


class Labels(TypeDecorator[Mapping[str, str]]):
    """A map of words as JSON text, keys sorted."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, str] | None, dialect: Dialect) -> str | None:
        """Gives JSON text."""
        del dialect
        return json.dumps(dict(value), sort_keys=True) if value else "{}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, str] | None:
        """Gives a read-only map."""
        del dialect
        if value is None or value == "{}":
            return NO_LABELS
        return MappingProxyType(json.loads(value))


class Words(TypeDecorator[tuple[str, ...]]):
    """A sequence of words as JSON text, in its order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str | None:
        """Gives JSON text."""
        del dialect
        return json.dumps(value or ())

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...] | None:
        """Gives a tuple."""
        del dialect
        return tuple(json.loads(value)) if value else ()


class Persistence(TypeDecorator[SessionPersistence]):
    """A VIP's session persistence as JSON text; NULL: none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: SessionPersistence | None, dialect: Dialect) -> str | None:
        """Gives JSON text, the time to live in microseconds."""
        del dialect
        if value is None:
            return None
        ttl = value.ttl // MICROSECOND
        return json.dumps({"type": value.type, "cookie_name": value.cookie_name, "ttl": ttl})

    def process_result_value(
        self, value: str | None, dialect: Dialect
    ) -> SessionPersistence | None:
        """Gives the model's value."""
        del dialect
        if value is None:
            return None
        data = json.loads(value)
        return SessionPersistence(
            type=SessionPersistenceType(data["type"]),
            cookie_name=data["cookie_name"],
            ttl=timedelta(microseconds=data["ttl"]),
        )


class CapabilitySet(TypeDecorator[Capabilities]):
    """Capabilities as JSON text; NULL: whatever Tidegate can build."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Capabilities | None, dialect: Dialect) -> str | None:
        """Gives JSON text, words sorted."""
        del dialect
        if value is None:
            return None
        return json.dumps(
            {
                "lb_methods": sorted(value.lb_methods),
                "protocols": sorted(value.protocols),
                "health_monitor_types": sorted(value.health_monitor_types),
                "session_persistences": sorted(value.session_persistences),
                "connection_limit": value.connection_limit,
                "multiple_monitors": value.multiple_monitors,
            }
        )

    def process_result_value(self, value: str | None, dialect: Dialect) -> Capabilities | None:
        """Gives the model's value."""
        del dialect
        if value is None:
            return None
        data = json.loads(value)
        return Capabilities(
            lb_methods=frozenset(map(LbMethod, data["lb_methods"])),
            protocols=frozenset(map(Protocol, data["protocols"])),
            health_monitor_types=frozenset(map(HealthMonitorType, data["health_monitor_types"])),
            session_persistences=frozenset(
                map(SessionPersistenceType, data["session_persistences"])
            ),
            connection_limit=data["connection_limit"],
            multiple_monitors=data["multiple_monitors"],
        )
