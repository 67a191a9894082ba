"""Whoever waits ends when it is cancelled, also in the very moment in which it would wake up."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from tests.tidegate.world import World


def nodes(world: World) -> tuple[Callable[[], Coroutine[None, None, None]], asyncio.Event]:
    return world.feedback.watch_nodes, world.feedback._nodes_changed


def agents(world: World) -> tuple[Callable[[], Coroutine[None, None, None]], asyncio.Event]:
    return world.agents._watch, world.agents.assessment.wake


@pytest.mark.parametrize("of", [nodes, agents])
@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_meets_what_is_waited_for_is_not_lost(
    world: World,
    of: Callable[[World], tuple[Callable[[], Coroutine[None, None, None]], asyncio.Event]],
    turns: int,
):
    watch, event = of(world)
    task = asyncio.create_task(watch())
    for _ in range(10):  # until it waits
        await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=5)
    try:
        assert task in done
        assert task.cancelled()
    finally:
        task.cancel()
