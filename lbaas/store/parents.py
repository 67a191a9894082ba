"""Parents of lists: which rows `projects/acme` or `projects/-/pools/-` means."""

from sqlalchemy import ColumnElement, Table

from lbaas.model.errors import InvalidArgument, Violation
from lbaas.model.names import POOL, PROJECT

ANY = "-"
"""In a parent: all of them (AIP-159)."""


def of_project(parent: str, table: Table) -> tuple[ColumnElement[bool], ...]:
    """Gives the condition for a parent `projects/{project}` or `projects/-`."""
    if parent == f"projects/{ANY}":
        return ()
    ids = PROJECT.parse(parent)
    if ids is None:
        raise _refused(parent, "projects/{project}, or projects/- for all")
    return (table.c.project == ids["project"],)


def of_pool(parent: str, table: Table) -> tuple[ColumnElement[bool], ...]:
    """Gives the condition for a parent `projects/{project}/pools/{pool}`; `-` for all of either."""
    if POOL.parse(parent) is not None:
        return (table.c.pool == parent,)
    project, separator, pool = parent.rpartition("/pools/")
    if not separator or pool != ANY:
        raise _refused(parent, "projects/{project}/pools/{pool}, with - for all of either")
    return of_project(project, table)


def _refused(parent: str, form: str) -> InvalidArgument:
    return InvalidArgument(
        [Violation("parent", f"{parent[:140]!r} must look like {form}", "INVALID_NAME")]
    )
