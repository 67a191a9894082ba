"""Quotas: how many objects a project may have, counted exactly by conditional update."""

import dataclasses
from collections.abc import Callable

from sqlalchemy import BindParameter, bindparam, func, insert, or_, select
from sqlalchemy import update as sql_update

from lbaas.model.errors import InvalidArgument, NotFound, QuotaExceeded
from lbaas.model.names import QUOTA
from lbaas.model.objects import Quota
from lbaas.model.rules import check_quota
from lbaas.store.tables import quotas
from lbaas.store.transaction import Transaction

VIPS = "vips"
POOLS = "pools"
MEMBERS = "members"
HEALTH_MONITORS = "health_monitors"

_RESOURCES = (VIPS, POOLS, MEMBERS, HEALTH_MONITORS)
_DEFAULTS = Quota(name="")
_KEY = (quotas.c.project == bindparam("p"), quotas.c.resource == bindparam("r"))
_MANY: BindParameter[int] = bindparam("many")
_MOST = func.coalesce(quotas.c.most, bindparam("default"))
_COUNT = sql_update(quotas).where(*_KEY).values(used=quotas.c.used + _MANY)
_TAKE = _COUNT.where(or_(_MOST < 0, quotas.c.used + _MANY <= _MOST))


def get(tx: Transaction, name: str) -> Quota:
    """Gives a project's quota, `projects/{project}/quota`; defaults where nothing was set."""
    rows = tx.connection.execute(
        select(quotas.c.resource, quotas.c.most).where(
            quotas.c.project == _project(name), quotas.c.most.is_not(None)
        )
    )
    return dataclasses.replace(Quota(name=name), **{row.resource: row.most for row in rows})


def used(tx: Transaction, name: str) -> Quota:
    """Gives how much of its quota a project uses, in a quota's shape."""
    rows = tx.connection.execute(
        select(quotas.c.resource, quotas.c.used).where(quotas.c.project == _project(name))
    )
    none = Quota(name=name, vips=0, pools=0, members=0, health_monitors=0)
    return dataclasses.replace(none, **{row.resource: row.used for row in rows})


def update(tx: Transaction, name: str, change: Callable[[Quota], Quota]) -> Quota:
    """Changes a project's quota; what the project has beyond a smaller one stays."""
    before = get(tx, name)
    after = dataclasses.replace(change(before), name=name)
    if violations := check_quota(after):
        raise InvalidArgument(violations)
    for resource in _RESOURCES:
        most = getattr(after, resource)
        if most != getattr(before, resource):
            _ensure(tx, _project(name), resource)
            tx.connection.execute(
                sql_update(quotas).where(*_KEY).values(most=bindparam("limit")),
                {"p": _project(name), "r": resource, "limit": most},
            )
    return after


def take(tx: Transaction, project: str, resource: str, many: int = 1) -> None:
    """Counts new objects, or raises QuotaExceeded; the test and the count are one statement."""
    if many == 0:
        return
    key = {"p": project, "r": resource, "many": many, "default": getattr(_DEFAULTS, resource)}
    if tx.connection.execute(_TAKE, key).rowcount:
        return
    _ensure(tx, project, resource)  # the project's first one
    if tx.connection.execute(_TAKE, key).rowcount:
        return
    limit = getattr(get(tx, QUOTA.build(project=project)), resource)
    raise QuotaExceeded(project, resource.replace("_", " "), limit)


def give_back(tx: Transaction, project: str, resource: str, many: int = 1) -> None:
    """Counts objects that were deleted."""
    if many:
        tx.connection.execute(_COUNT, {"p": project, "r": resource, "many": -many})


def _ensure(tx: Transaction, project: str, resource: str) -> None:
    # Nobody else can add it between: the writer holds the counter's lock.
    key = {"p": project, "r": resource}
    if tx.connection.execute(select(quotas.c.used).where(*_KEY), key).one_or_none() is None:
        tx.connection.execute(
            insert(quotas).values(project=project, resource=resource, most=None, used=0)
        )


def _project(name: str) -> str:
    ids = QUOTA.parse(name)
    if ids is None:
        raise NotFound(QUOTA.title, name)
    return ids["project"]
