"""What the database's driver says, in words of the domain."""

from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
    TimeoutError,  # noqa: A004 - SQLAlchemy's own: no connection became free
)

from lbaas.model.errors import Unavailable

_OURS = (IntegrityError, DataError, ProgrammingError, NotSupportedError)
"""A statement's own fault: a defect of ours, not of the database's health."""

_WORDS = (
    ("disk is full", "the store's disk is full; nothing was changed; free some space and repeat"),
    ("no space left", "the store's disk is full; nothing was changed; free some space and repeat"),
    ("diskfull", "the store's disk is full; nothing was changed; free some space and repeat"),
    ("locked", "the store's file is locked by another process; repeat"),
    ("readonly", "the store can be read only; see its file's permissions"),
    ("read-only", "the store can be read only at this moment; repeat"),
    ("unable to open", "the store's file cannot be opened; see its folder and permissions"),
    ("not a database", "the store's file is not a SQLite database"),
    ("malformed", "the store's file is damaged; restore it from a backup"),
)


def is_outage(error: BaseException) -> bool:
    """Tells whether the database itself failed, so that the whole transaction is lost."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, TimeoutError):
        return True
    return isinstance(error, DatabaseError) and not isinstance(error, _OURS)


def is_disconnect(error: BaseException) -> bool:
    """Tells whether only the connection is gone: a new one may well work."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def unavailable(error: SQLAlchemyError) -> Unavailable:
    """Gives the domain's error for an outage; the driver's first line is in it, no SQL."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip()
    said = text.splitlines()[0] if text else type(cause).__name__
    probe = f"{type(cause).__name__} {said}".lower()
    for sign, words in _WORDS:
        if sign in probe:
            return Unavailable(f"{words} ({said})")
    return Unavailable(f"the store cannot be reached: {said}")
