"""Migrations: up from nothing, down to nothing, up again; refused when they are too new."""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect

from lbaas.model.capabilities import EVERYTHING
from lbaas.model.errors import FailedPrecondition, InvalidArgument, Unavailable
from lbaas.store import engines, migrate, pools, service_types
from lbaas.store.store import Store
from lbaas.store.tables import METADATA
from tests.store import make


@pytest.fixture
def engine(store_url: str):
    opened = engines.writer(engines.parse(store_url))
    yield opened
    opened.dispose()


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_up_from_nothing_twice_is_up_once(engine: Engine):
    migrate.upgrade(engine)
    first = tables(engine)
    assert first == {*METADATA.tables, "alembic_version"}
    migrate.upgrade(engine)
    assert tables(engine) == first


def test_migrations_make_the_tables_that_the_code_has(engine: Engine):
    migrate.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, METADATA) == []


async def test_down_to_nothing_with_data_and_up_again(store_url: str):
    store = await Store.open(store_url, built=EVERYTHING)
    await store.write(make.placed_pool)
    await store.close()
    engine = engines.writer(engines.parse(store_url))
    migrate.downgrade(engine, "base")
    assert tables(engine) == {"alembic_version"}
    engine.dispose()
    store = await Store.open(store_url, built=EVERYTHING)
    assert await store.read(pools.count) == 0
    assert await store.read(service_types.default) is not None
    await store.close()


def test_a_migration_that_fails_leaves_nothing_half_done(engine: Engine, monkeypatch):
    script = "INSERT INTO nowhere VALUES (1)"
    upgrade = migrate.command.upgrade

    def fail_at_the_end(config, to):
        upgrade(config, to)
        config.attributes["connection"].exec_driver_sql(script)

    monkeypatch.setattr(migrate.command, "upgrade", fail_at_the_end)
    with pytest.raises(Exception, match="nowhere"):
        migrate.upgrade(engine)
    assert tables(engine) == set()


async def test_a_store_of_a_newer_tidegate_is_refused(store_url: str):
    await (await Store.open(store_url, built=EVERYTHING)).close()
    engine = create_engine(store_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(FailedPrecondition, match=r"newer Tidegate.*9999") as refused:
        await Store.open(store_url, built=EVERYTHING)
    assert refused.value.reason == "STORE_TOO_NEW"


async def test_what_was_written_is_there_after_opening_again(store_url: str):
    store = await Store.open(store_url, built=EVERYTHING)
    written = await store.write(make.placed_pool)
    revision = await store.read(lambda tx: tx.revision)
    await store.close()
    store = await Store.open(store_url, built=EVERYTHING)
    assert store.feed.revision == revision
    assert await store.read(lambda tx: pools.get(tx, written.name)) == written
    await store.close()


async def test_several_may_open_an_empty_store_at_once(store_url: str):
    stores = await asyncio.gather(*(Store.open(store_url, built=EVERYTHING) for _ in range(3)))
    await asyncio.gather(
        *(
            each.write(lambda tx, n=n: pools.create(tx, make.pool(f"projects/p{n}/pools/web")))
            for n, each in enumerate(stores)
        )
    )
    assert [await each.read(lambda tx: tx.revision) for each in stores] == [4, 4, 4]
    for each in stores:
        await each.close()


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "store.db", ""]
)
async def test_a_url_that_keeps_nothing_is_refused(url: str):
    with pytest.raises(InvalidArgument) as refused:
        await Store.open(url, built=EVERYTHING)
    assert refused.value.reason == "INVALID_STORE_URL"


async def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Sir, " * 1000)
    with pytest.raises(Unavailable, match="not a SQLite database"):
        await Store.open(f"sqlite:///{tmp_path / 'letter.txt'}", built=EVERYTHING)
    with pytest.raises(Unavailable, match="cannot be opened"):
        await Store.open(f"sqlite:///{tmp_path / 'no' / 'folder.db'}", built=EVERYTHING)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await Store.open("postgresql://nobody@127.0.0.1:1/none", built=EVERYTHING)
