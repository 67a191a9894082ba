"""Waiting for the state of something outside this process, where no event exists."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(
    probe: Callable[[], Awaitable[T]],
    *,
    within: float,
    what: str,
    every: float = 0.02,
    tolerate: tuple[type[Exception], ...] = (OSError, EOFError),
) -> T:
    """The first truthy answer of `probe`.

    Args:
        probe: asked again and again; an error in `tolerate` counts as "not yet".
        within: seconds until it fails.
        what: what is waited for, for the failure's text.
        every: seconds between two questions.
        tolerate: errors that mean "not yet".

    Raises:
        AssertionError: with `what` and the last answer, when the time is over.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + within
    while True:
        last: object
        try:
            answer = await probe()
            if answer:
                return answer
            last = answer
        except tolerate as error:
            last = error
        if clock() >= deadline:
            raise AssertionError(f"not within {within} s: {what}; last: {last!r}")
        await asyncio.sleep(every)
