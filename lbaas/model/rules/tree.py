"""Rules for a pool's tree as a whole: Apply's input, before anything is stored."""

import dataclasses
from collections.abc import Iterator, Sequence

from lbaas.model.errors import Violation
from lbaas.model.names import pool_of_member
from lbaas.model.objects import Member, PoolTree
from lbaas.model.rules.addresses import STRICT, AddressPolicy
from lbaas.model.rules.health_monitor import check_health_monitor
from lbaas.model.rules.member import check_member
from lbaas.model.rules.pool import check_pool
from lbaas.model.rules.vip import check_vip, check_vip_against_pool


def check_tree(tree: PoolTree, *, policy: AddressPolicy = STRICT) -> tuple[Violation, ...]:
    """Gives every rule that the tree breaks; fields are paths: `members[2].port`."""
    return (
        *_under("pool", check_pool(tree.pool)),
        *_check_members(tree, policy=policy),
        *(
            each
            for index, monitor in enumerate(tree.health_monitors)
            for each in _under(f"health_monitors[{index}]", check_health_monitor(monitor))
        ),
        *_check_vips(tree),
        *_twice("health_monitors", [monitor.name for monitor in tree.health_monitors]),
    )


def check_members(
    members: Sequence[Member], *, policy: AddressPolicy = STRICT
) -> tuple[Violation, ...]:
    """Gives every rule that members of one pool break, each and among themselves."""
    return (
        *(
            each
            for index, member in enumerate(members)
            for each in _under(f"members[{index}]", check_member(member, policy=policy))
        ),
        *_twice("members", [member.name for member in members]),
        *_twice("members", [(member.address, member.port) for member in members]),
    )


def _check_members(tree: PoolTree, *, policy: AddressPolicy) -> Iterator[Violation]:
    yield from check_members(tree.members, policy=policy)
    for index, member in enumerate(tree.members):
        if pool_of_member(member.name) != tree.pool.name:
            yield Violation(
                f"members[{index}].name",
                f"is not in the tree's pool: begin it with {tree.pool.name[:140]}/members/",
                "OTHER_POOL",
            )


def _check_vips(tree: PoolTree) -> Iterator[Violation]:
    for index, vip in enumerate(tree.vips):
        path = f"vips[{index}]"
        yield from _under(path, check_vip(vip))
        yield from _under(path, check_vip_against_pool(vip, tree.pool))
        if vip.pool != tree.pool.name:
            yield Violation(
                f"{path}.pool", f"is not the tree's pool: use {tree.pool.name[:140]}", "OTHER_POOL"
            )
    yield from _twice("vips", [vip.name for vip in tree.vips])
    yield from _twice("vips", [(vip.address, vip.port) for vip in tree.vips if vip.address])


def _under(path: str, violations: Sequence[Violation]) -> tuple[Violation, ...]:
    """Gives the violations with their fields below a path."""
    return tuple(dataclasses.replace(each, field=f"{path}.{each.field}") for each in violations)


def _twice(field: str, keys: Sequence[str | tuple[str, int]]) -> Iterator[Violation]:
    """Gives a violation for each key that came before."""
    first: dict[str | tuple[str, int], int] = {}
    for index, key in enumerate(keys):
        if (earlier := first.setdefault(key, index)) != index:
            what = key[:200] if isinstance(key, str) else f"{key[0][:64]} port {key[1]}"
            yield Violation(
                f"{field}[{index}]",
                f"repeats {what} of {field}[{earlier}]; keep one of them",
                "DUPLICATE",
            )
