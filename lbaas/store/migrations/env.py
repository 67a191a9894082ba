"""Alembic's entry: runs the migrations on the connection that `lbaas.store.migrate` gives."""

from alembic import context

from lbaas.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    # The caller's transaction is the migration's, on SQLite too (which BEGINs before DDL here).
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
