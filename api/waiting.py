"""WaitForApplied: waits that cost nothing while nothing happens to their object.

One task listens to the store and wakes only the waits that the notice names; one task reads what
they need, all of them in one read. A wait is entered before its object is first read, so nothing
that happens in between is lost.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from api import facts
from api.conversion.reading import Reading
from api.conversion.statuses import Facts, status_from, write_detail
from api.errors import Stopping
from api.explaining import check_tenant_name, home_of
from api.serving import Serving
from lbaas.model.errors import InvalidArgument, LbaasError, NotFound, Violation
from lbaas.model.names import kind_of
from lbaas.model.objects import TenantObject
from lbaas.model.status import Progress, StatusDetail, failure
from lbaas.store import changes, objects
from lbaas.store.feed import Action, Notice, Subscription
from lbaas.store.transaction import Transaction
from lbaas.v1 import load_balancer_service_pb2

Answer = load_balancer_service_pb2.WaitForAppliedResponse
Outcome = load_balancer_service_pb2.WaitOutcome

DEFAULT_TIMEOUT = timedelta(seconds=30)
LONGEST_TIMEOUT = timedelta(minutes=10)


@dataclass(slots=True, eq=False)
class Wait:
    """One wait: for what, under which names it is woken, and what it saw last."""

    name: str
    revision: int
    done: asyncio.Future[Answer]
    keys: set[str] = field(default_factory=set)
    uid: str = ""
    last: TenantObject | None = None
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, slots=True)
class _Picture:
    """What one read found for all waits that were due."""

    revision: int
    objects: dict[str, TenantObject]
    facts: Facts
    vanished: frozenset[str]


class Waits:
    """All waits of a server."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving
        self._by_key: defaultdict[str, set[Wait]] = defaultdict(set)
        self._due: set[Wait] = set()
        self._wake = asyncio.Event()
        self._subscription: Subscription | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        serving.on_stop(self._stop)

    async def wait(self, request: load_balancer_service_pb2.WaitForAppliedRequest) -> Answer:
        """Waits until the change is live, refused or gone, or the time is up."""
        check_tenant_name(request.name)
        reading = Reading()
        timeout = reading.duration("timeout", request.timeout, given=request.HasField("timeout"))
        if request.HasField("timeout") and timeout <= timedelta(0):
            reading.wrong("timeout", "must be more than 0; leave it out for 30s", "OUT_OF_RANGE")
        if request.revision < 0:
            reading.wrong("revision", "must not be negative", "OUT_OF_RANGE")
        reading.finish()
        limit = min(timeout, LONGEST_TIMEOUT) if timeout else DEFAULT_TIMEOUT
        self._start()
        loop = asyncio.get_running_loop()
        wait = Wait(request.name, request.revision, loop.create_future())
        self._enter(wait, wait.name)
        self._push([wait])
        try:
            async with asyncio.timeout(limit.total_seconds()):
                return await wait.done
        except TimeoutError:
            return self._timed_out(wait)
        finally:
            self._leave(wait)

    # -- who is woken ---------------------------------------------------------------------

    def _enter(self, wait: Wait, key: str) -> None:
        if key not in wait.keys:
            wait.keys.add(key)
            self._by_key[key].add(wait)

    def _leave(self, wait: Wait) -> None:
        self._due.discard(wait)
        for key in wait.keys:
            those = self._by_key[key]
            those.discard(wait)
            if not those:
                del self._by_key[key]

    def _push(self, waits: Iterable[Wait]) -> None:
        self._due.update(waits)
        self._wake.set()

    def _woken(self, notice: Notice) -> set[Wait]:
        if not notice.complete:
            return {wait for those in self._by_key.values() for wait in those}
        names = {change.name for change in notice.changes} | notice.statuses
        # A placement decides about all that lives in the pool.
        names |= {
            f"placement of {change.name}"
            for change in notice.changes
            if change.action in {Action.PLACED, Action.MOVED}
        }
        return {wait for name in names for wait in self._by_key.get(name, ())}

    # -- the two tasks --------------------------------------------------------------------

    def _start(self) -> None:
        if self._serving.stopping:
            raise Stopping
        if self._tasks:
            return
        self._subscription = self._serving.store.feed.subscribe()
        self._tasks = (
            asyncio.create_task(self._listen(self._subscription), name="api-waits-listen"),
            asyncio.create_task(self._judge(), name="api-waits-judge"),
        )

    async def _listen(self, subscription: Subscription) -> None:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                self._push(self._woken(await subscription.get()))
        self._stop()

    async def _judge(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            due, self._due = self._due, set()
            if not due:
                continue
            try:
                picture = await self._serving.store.read(lambda tx, due=due: _look(tx, due))  # type: ignore[misc]
                for wait in due:
                    if not wait.done.done():
                        self._decide(wait, picture)
            except Exception as error:  # noqa: BLE001  told to those who wait; others go on
                for wait in due:
                    if not wait.done.done():
                        wait.done.set_exception(error)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._subscription is not None:
            self._subscription.close()
        for those in tuple(self._by_key.values()):
            for wait in those:
                if not wait.done.done():
                    wait.done.set_exception(Stopping())

    # -- what is decided ------------------------------------------------------------------

    def _decide(self, wait: Wait, picture: _Picture) -> None:
        if wait.revision > picture.revision:
            wait.done.set_exception(_in_the_future(wait.revision, picture.revision))
            return
        obj = picture.objects.get(wait.name)
        if obj is None or (wait.uid and obj.record.uid != wait.uid):
            if wait.last is None and wait.name not in picture.vanished:
                kind = kind_of(wait.name)
                wait.done.set_exception(NotFound(kind.title if kind else "object", wait.name))
            else:
                wait.done.set_result(self._gone(wait, picture.revision))
            return
        record = obj.record
        if not wait.revision:
            wait.revision = record.deleted_rev or record.spec_rev
        wait.last, wait.uid, wait.facts = obj, record.uid, picture.facts
        home = home_of(obj)
        self._enter(wait, f"placement of {home}")
        if record.deleted_rev and wait.revision >= record.deleted_rev:
            return  # gone is what ends it
        refused = failure(
            obj,
            picture.facts.rejections.get(obj.name, ()),
            obj if home == obj.name else picture.facts.pools.get(home),  # type: ignore[arg-type]
        )
        if refused is not None and not record.deleted_rev:
            answer = self._answer(wait, Outcome.REJECTED)
            answer.status_detail.CopyFrom(write_detail(refused))
            wait.done.set_result(answer)
        elif record.live_rev >= min(wait.revision, record.spec_rev):
            wait.done.set_result(self._answer(wait, Outcome.APPLIED))

    def _gone(self, wait: Wait, revision: int) -> Answer:
        return Answer(outcome=Outcome.APPLIED, revision=max(revision, wait.revision))

    def _timed_out(self, wait: Wait) -> Answer:
        answer = self._answer(wait, Outcome.TIMED_OUT)
        progress = self._progress(wait)
        by_node: defaultdict[str, list[str]] = defaultdict(list)
        for node, resource in progress.missing:
            by_node[node].append(resource)
        for node, resources in sorted(by_node.items()):
            answer.missing.add(node=node, resources=resources)
        detail = progress.waiting
        if wait.last is not None:
            seen = self._serving.see(wait.name)
            status = status_from(wait.last, wait.facts, seen, pool=home_of(wait.last))
            detail = status.detail
        if detail is None and not answer.missing:
            detail = StatusDetail(
                reason="NOT_RENDERED", message="the change has reached no fleet yet"
            )
        if detail is not None:
            answer.status_detail.CopyFrom(write_detail(detail))
        return answer

    def _answer(self, wait: Wait, outcome: "Outcome.Code.ValueType") -> Answer:
        progress = self._progress(wait)
        return Answer(
            outcome=outcome,
            nodes_applied=progress.applied,
            nodes_total=progress.total,
            revision=wait.last.record.rev if wait.last is not None else 0,
        )

    def _progress(self, wait: Wait) -> Progress:
        return self._serving.view.progress(wait.name, 0)


def _in_the_future(revision: int, newest: int) -> InvalidArgument:
    return InvalidArgument(
        [Violation("revision", f"{revision} is not yet: the newest is {newest}", "OUT_OF_RANGE")]
    )


def _look(tx: Transaction, due: set[Wait]) -> _Picture:
    """Reads what all due waits need, in a few queries."""
    found: dict[str, TenantObject] = {
        name: obj
        for name, obj in objects.get_many(tx, sorted({wait.name for wait in due})).items()
        if isinstance(obj, TenantObject)
    }
    missing = [wait for wait in due if wait.name not in found]
    return _Picture(
        revision=tx.revision,
        objects=found,
        facts=facts.of_tenant_objects(tx, list(found.values())),
        vanished=_vanished(tx, missing),
    )


def _vanished(tx: Transaction, missing: list[Wait]) -> frozenset[str]:
    """Gives the names that the change rows say were there at the revision waited for."""
    since = {wait.name: wait.revision for wait in missing if wait.revision and not wait.uid}
    if not since:
        return frozenset()
    try:
        told = changes.since(tx, min(since.values()) - 1)
    except LbaasError:
        return frozenset()  # so old that nobody remembers: NOT_FOUND
    return frozenset(
        change.name for change in told if change.rev >= since.get(change.name, change.rev + 1)
    )
