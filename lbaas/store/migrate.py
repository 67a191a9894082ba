"""Brings a store to this version's tables: alembic, run from the program itself.

A migration is one transaction on both databases, DDL included: a crash leaves the old tables or
the new, never half.
"""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from lbaas.model.errors import FailedPrecondition

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x71DE6A7E
"""PostgreSQL's advisory lock: of several processes that start at once, one migrates."""


def upgrade(engine: Engine, to: str = "head") -> None:
    """Brings the store up to a version; does nothing if it is there.

    Raises:
        FailedPrecondition: a newer Tidegate wrote the store.
    """
    _run(engine, lambda config: command.upgrade(config, to))


def downgrade(engine: Engine, to: str) -> None:
    """Takes the store back to an older version; `base` leaves no table."""
    _run(engine, lambda config: command.downgrade(config, to))


def _run(engine: Engine, step: Callable[[Config], None]) -> None:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        step(config)


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
    if unknown:
        version = ", ".join(sorted(unknown))
        raise FailedPrecondition(
            f"the store was written by a newer Tidegate (its tables are at {version}); run that"
            " version, or restore a backup from before the upgrade",
            reason="STORE_TOO_NEW",
            subject="store",
            metadata={"version": version},
        )
