"""Rules for a pool."""

from collections import Counter

from lbaas.model.errors import Violation
from lbaas.model.names import HEALTH_MONITOR, POOL, SERVICE_TYPE, check_name, project_of
from lbaas.model.objects import Pool
from lbaas.model.rules.text import check_described

MAX_MONITORS = 8
"""Envoy takes at most 8 health checks a cluster."""


def check_pool(pool: Pool) -> tuple[Violation, ...]:
    """Gives every rule that the pool breaks."""
    service_type = (
        check_name(SERVICE_TYPE, pool.service_type, field="service_type")
        if pool.service_type
        else ()
    )
    return (*check_described(pool, POOL), *_check_monitors(pool), *service_type)


def _check_monitors(pool: Pool) -> list[Violation]:
    found: list[Violation] = []
    if len(pool.health_monitors) > MAX_MONITORS:
        found.append(
            Violation(
                "health_monitors",
                f"names {len(pool.health_monitors)} monitors; keep at most {MAX_MONITORS}",
                "TOO_MANY",
            )
        )
    project = "" if check_name(POOL, pool.name) else project_of(pool.name)
    listed = pool.health_monitors[:MAX_MONITORS]
    for index, name in enumerate(listed):
        path = f"health_monitors[{index}]"
        if wrong := check_name(HEALTH_MONITOR, name, field=path):
            found += wrong
        elif project and project_of(name) != project:
            found.append(
                Violation(
                    path,
                    f"{name} belongs to another project; name one of projects/{project}",
                    "OTHER_PROJECT",
                )
            )
    found += [
        Violation("health_monitors", f"names {name} {count} times; name it once", "DUPLICATE")
        for name, count in Counter(listed).items()
        if count > 1 and not check_name(HEALTH_MONITOR, name)
    ]
    return found
