"""Connections: a writer's and readers', with what each database needs said on connect."""

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from lbaas.model.errors import InvalidArgument, Violation

READERS = 4
"""How many reads run side by side."""

BUSY_MILLISECONDS = 5_000
"""How long SQLite waits for another process's lock before it gives up."""


def parse(url: str) -> URL:
    """Gives the URL read, or says what is wrong with it.

    Raises:
        InvalidArgument: not a URL, a database we do not know, or SQLite without a file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _refused(
            "is no database URL; write sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME"
        ) from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise _refused(f"names {backend}; SQLite and PostgreSQL are what we know")
    if not parsed.database or parsed.database == ":memory:":
        raise _refused("names no file; a store in memory would lose what it acknowledged")
    return parsed


def writer(url: URL) -> Engine:
    """Gives the writing engine: one connection, which locks when its transaction begins."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, begin="BEGIN IMMEDIATE", size=1, prepare=())
    return create_engine(url, pool_size=1, max_overflow=0, connect_args=_postgresql())


def readers(url: URL) -> Engine:
    """Gives the reading engine: a transaction is one consistent snapshot, and cannot write."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, begin="BEGIN", size=READERS, prepare=("PRAGMA query_only=ON",))
    engine = create_engine(
        url,
        pool_size=READERS,
        max_overflow=0,
        connect_args=_postgresql(),
        isolation_level="REPEATABLE READ",
    )
    return engine.execution_options(postgresql_readonly=True)


def _postgresql() -> dict[str, object]:
    # A server that vanished without a word is noticed within half a minute, not after two hours.
    return {
        "connect_timeout": 5,
        "application_name": "tidegate",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def _sqlite(url: URL, *, begin: str, size: int, prepare: tuple[str, ...]) -> Engine:
    engine = create_engine(url, pool_size=size, max_overflow=0)

    def on_connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # The driver begins transactions late and never before DDL: we say BEGIN ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"PRAGMA busy_timeout={BUSY_MILLISECONDS}",
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "PRAGMA foreign_keys=ON",
            *prepare,
        ):
            cursor.execute(pragma)
        cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine


def _refused(description: str) -> InvalidArgument:
    return InvalidArgument([Violation("url", description)], reason="INVALID_STORE_URL")
