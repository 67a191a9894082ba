"""One tenant's bad resource among fifty others that change: it is ERROR, they do not notice."""

import asyncio
import math
import random

import pytest

from tests.features.faults import BAD, FAULTS, FRONT, Injection, crowd
from tests.features.world import REJECTED

WITHIN = 5
"""Seconds in which a fault is to be ERROR; what a busy machine adds is given beside it."""

ROOM = 15
SECONDS = 4.0


async def message(client, name: str) -> str:
    """What a tenant is told of an object that is ERROR."""
    answer = await client.wait(name, seconds=WITHIN + ROOM)
    assert answer.outcome == REJECTED, f"{name}: {answer}"
    told: str = answer.status_detail.message
    return told


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_bad_resource_is_error_and_recovers_while_the_others_reach_active(tmp_path, kind):
    fault = FAULTS[kind]
    injection = Injection(fault)
    async with crowd(tmp_path, injection) as them:
        changing = asyncio.create_task(them.others(SECONDS, random.Random(kind)))
        injection.on = True
        blamed = await them.bad_change(0)
        assert fault.words in (await message(them.client, blamed)).lower()
        await changing
        assert not them.late
        assert injection.spoiled
        # Invariant 6: 3 times when it was named, 2 + log2 n when it had to be found among n; none
        # where it was caught before.
        found = 2 + math.ceil(math.log2(max(2, injection.largest)))
        assert injection.most <= (3 if fault.named else found)

        injection.on = False
        assert await them.bad_change(1) == blamed
        await them.client.applied(blamed, seconds=WITHIN + ROOM)
        await them.client.applied(FRONT, seconds=WITHIN + ROOM)
        sent = injection.most
        await them.others(0.5, random.Random(kind))
        assert not them.late
        assert injection.most == sent  # it is never sent again


async def test_a_mute_member_with_a_slow_monitor_holds_up_nobody_for_good(tmp_path):
    injection = Injection()
    async with crowd(tmp_path, injection) as them:
        changing = asyncio.create_task(them.others(SECONDS, random.Random("mute")))
        await them.go_mute()
        await changing
        assert not them.late
        await them.client.applied(BAD, seconds=WITHIN + ROOM)
        await them.client.applied(FRONT, seconds=WITHIN + ROOM)
