"""What every write shares: validate_only, and answering a repeated request once and for all."""

import hashlib
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from api.conversion.reading import Reading
from lbaas.store import requests
from lbaas.store.store import Store
from lbaas.store.transaction import Transaction

A = TypeVar("A", bound=Message)

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


class Mutating(Protocol):
    """A request that writes."""

    @property
    def validate_only(self) -> bool:
        """Tells whether nothing is to be stored."""
        ...

    @property
    def request_id(self) -> str:
        """Gives the caller's id of this request, or ""."""
        ...

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes:  # noqa: N802
        """Gives the request's bytes."""
        ...


async def mutate(
    store: Store,
    request: Mutating,
    *,
    project: str,
    answer: type[A],
    reading: Reading,
    work: Callable[[Transaction], A],
) -> A:
    """Runs a write and gives its answer.

    Args:
        store: Where to.
        request: Asked so far only for `validate_only` and `request_id`.
        project: Whose request ids these are; "" for the operator's.
        answer: The type of the answer, to read a kept one.
        reading: What was found wrong with the request already; nothing is done then.
        work: The write, giving the answer. Runs on the writer's thread.

    Raises:
        InvalidArgument: With all that `reading` has, and a request id that is none.
    """
    request_id = request.request_id.lower()
    if request_id and _UUID.match(request_id) is None:
        reading.wrong(
            "request_id",
            "is no UUID: use 8-4-4-4-12 hexadecimal digits, a new one for each request",
            "INVALID_REQUEST_ID",
        )
    reading.finish()
    if request.validate_only:
        return await store.write(work, dry_run=True)
    if not request_id:
        return await store.write(work)
    fingerprint = _fingerprint(request)

    def once(tx: Transaction) -> A:
        kept = requests.replay(tx, project, request_id, fingerprint)
        if kept is not None:
            return answer.FromString(kept)
        fresh = work(tx)
        requests.keep(
            tx, project, request_id, fingerprint, fresh.SerializeToString(deterministic=True)
        )
        return fresh

    return await store.write(once)


def _fingerprint(request: Mutating) -> str:
    """Gives what tells requests apart: the method (by its request's type) and the content."""
    content = request.SerializeToString(deterministic=True)
    return hashlib.sha256(type(request).__name__.encode() + b"\0" + content).hexdigest()
