"""Monitors with more patience than an idle connection to a member may have, on a real Envoy."""

from datetime import timedelta

import pytest

from lbaas.model.enums import SessionPersistenceType
from lbaas.model.objects import Member as ModelMember
from lbaas.model.objects import Record, SessionPersistence
from tests.harness.http_client import fetch
from tests.harness.members import Member
from tests.harness.ports import free_port
from tests.harness.waiting import until
from tests.translate.node import TranslatedNode
from tests.translate.trees import POOL, monitor, tree, vip


def of(server: Member) -> ModelMember:
    return ModelMember(
        name=f"{POOL}/members/{server.name}",
        address=server.host,
        port=server.port,
        record=Record(uid=server.name),
    )


def here(**fields: object):
    return vip(address="127.0.0.1", port=free_port(), **fields)


def patient(seconds: float, **fields: object):
    lasts = timedelta(seconds=seconds)
    return monitor(delay=lasts, timeout=lasts, max_retries=1, **fields)


async def test_an_answer_within_the_timeout_passes_however_late() -> None:
    front = here()
    async with TranslatedNode() as node, await Member.start("m0") as server:
        server.check_delay = 4.6
        await node.apply(
            tree(members=(of(server),), health_monitors=(patient(8),), vips=(front,)), within=30
        )
        stat = f"cluster.{POOL}.health_check"

        async def checked() -> bool:
            return await node.envoy.stat(f"{stat}.success") > 1

        await until(checked, within=60, what="two slow checks passed")
        assert await node.envoy.stat(f"{stat}.failure") == 0
        assert (await fetch(f"127.0.0.1:{front.port}")).text == "m0"


@pytest.mark.parametrize("persistence", [None, SessionPersistenceType.SOURCE_IP])
async def test_connections_of_traffic_end_before_members_close_them(persistence) -> None:
    front = here(session_persistence=SessionPersistence(type=persistence) if persistence else None)
    async with TranslatedNode() as node, await Member.start("m0") as server:
        await node.apply(
            tree(members=(of(server),), health_monitors=(patient(120),), vips=(front,)), within=30
        )

        async def serves() -> bool:
            return (await fetch(f"127.0.0.1:{front.port}")).status == 200

        await until(serves, within=30, what="the member passed its check")
        assert server.connections

        async def ended() -> bool:
            return not server.connections

        await until(ended, within=60, what="nothing is kept open to the member")
