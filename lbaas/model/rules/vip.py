"""Rules for a VIP, by itself and against its pool."""

from datetime import timedelta

from lbaas.model.enums import Protocol, SessionPersistenceType
from lbaas.model.errors import Violation
from lbaas.model.names import POOL, VIP, check_name, project_of
from lbaas.model.objects import Pool, SessionPersistence, Vip
from lbaas.model.rules.addresses import check_vip_address
from lbaas.model.rules.bounds import lasting, unlimited_or, within
from lbaas.model.rules.member import MAX_PORT
from lbaas.model.rules.text import check_cookie_name, check_described, shown

MAX_TTL = timedelta(days=400)
"""Browsers keep no cookie longer (RFC 6265bis, 5.5)."""
_COOKIES = frozenset({SessionPersistenceType.HTTP_COOKIE, SessionPersistenceType.APP_COOKIE})
_SECURE_ONLY = ("__host-", "__secure-")
"""Cookie name prefixes, in any case, that browsers take over TLS alone (RFC 6265bis, 4.1.3)."""


def check_vip(vip: Vip) -> tuple[Violation, ...]:
    """Gives every rule that the VIP breaks by itself."""
    return (
        *check_described(vip, VIP),
        *_check_pool_name(vip),
        *check_vip_address("address", vip.address),
        *within("port", vip.port, low=1, high=MAX_PORT),
        *_check_persistence(vip),
        *unlimited_or("connection_limit", vip.connection_limit, low=1),
    )


def check_vip_against_pool(vip: Vip, pool: Pool) -> tuple[Violation, ...]:
    """Gives every rule that the VIP breaks together with the pool it names."""
    if vip.protocol is pool.protocol:
        return ()
    return (
        Violation(
            "protocol",
            f"{vip.protocol} differs from the pool's: use {pool.protocol}, or another pool than"
            f" {pool.name}",
            "PROTOCOL_MISMATCH",
        ),
    )


def _check_pool_name(vip: Vip) -> tuple[Violation, ...]:
    if wrong := check_name(POOL, vip.pool, field="pool"):
        return wrong
    if check_name(VIP, vip.name) or project_of(vip.pool) == project_of(vip.name):
        return ()
    return (
        Violation(
            "pool",
            f"{vip.pool} belongs to another project; name a pool of"
            f" projects/{project_of(vip.name)}",
            "OTHER_PROJECT",
        ),
    )


def _check_persistence(vip: Vip) -> list[Violation]:
    persistence = vip.session_persistence
    if persistence is None:
        return []
    found: list[Violation] = []
    if persistence.type in _COOKIES and vip.protocol is not Protocol.HTTP:
        found.append(
            Violation(
                "session_persistence.type",
                f"{persistence.type} needs protocol HTTP, for a {vip.protocol} VIP sees no"
                " cookies: use SOURCE_IP",
                "PERSISTENCE_NEEDS_HTTP",
            )
        )
    found += _check_cookie(persistence)
    found += _check_ttl(persistence)
    return found


def _check_cookie(persistence: SessionPersistence) -> tuple[Violation, ...]:
    field, name = "session_persistence.cookie_name", persistence.cookie_name
    if persistence.type is SessionPersistenceType.SOURCE_IP:
        if not name:
            return ()
        return (
            Violation(
                field,
                "has no meaning for SOURCE_IP: leave it out, or use a cookie type",
                "NOT_APPLICABLE",
            ),
        )
    ours = persistence.type is SessionPersistenceType.HTTP_COOKIE
    if ours and name.lower().startswith(_SECURE_ONLY):
        # Browsers drop it in silence, and nobody would be kept.
        return (
            Violation(
                field,
                f"{shown(name)} cannot be set over HTTP: browsers take cookies that begin with"
                " '__Host-' or '__Secure-' over TLS alone; choose another name",
                "INVALID_COOKIE_NAME",
            ),
        )
    if name:
        return check_cookie_name(field, name)
    if persistence.type is SessionPersistenceType.APP_COOKIE:
        return (
            Violation(
                field,
                "is required for APP_COOKIE: name the cookie that the application sets",
                "REQUIRED",
            ),
        )
    return ()


def _check_ttl(persistence: SessionPersistence) -> tuple[Violation, ...]:
    """Checks the cookie's lifetime: whole seconds, for Max-Age has no fractions."""
    field, ttl = "session_persistence.ttl", persistence.ttl
    if ttl and persistence.type is not SessionPersistenceType.HTTP_COOKIE:
        return (
            Violation(
                field,
                f"has no meaning for {persistence.type}: only a cookie that we make (HTTP_COOKIE)"
                " has a lifetime that we set; leave it out",
                "NOT_APPLICABLE",
            ),
        )
    if wrong := lasting(field, ttl, low=timedelta(0), high=MAX_TTL):
        return wrong
    if ttl.microseconds:
        return (Violation(field, "is not whole seconds: round it", "OUT_OF_RANGE"),)
    return ()
