"""Request ids: a repeated call gets the first answer, for a day (AIP-155)."""

from datetime import timedelta

from sqlalchemy import delete, insert, select

from lbaas.model.errors import InvalidArgument, Violation
from lbaas.store.tables import requests
from lbaas.store.transaction import Transaction

KEPT = timedelta(hours=24)


def replay(tx: Transaction, project: str, request_id: str, fingerprint: str) -> bytes | None:
    """Gives the answer that the request got before, or None if it is new.

    Args:
        tx: the transaction that will carry it out, if it is new.
        project: whose request it is; ids of different projects have nothing to do with each other.
        request_id: the client's.
        fingerprint: of the method and the request, to tell a repetition from a mistake.

    Raises:
        InvalidArgument: the id was used for another request.
    """
    row = tx.connection.execute(
        select(requests.c.fingerprint, requests.c.answer).where(
            requests.c.project == project,
            requests.c.request_id == request_id,
            requests.c.time > tx.now - KEPT,
        )
    ).one_or_none()
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise InvalidArgument(
            [
                Violation(
                    "request_id",
                    f"{request_id} was used for another request; take a new one for each",
                    "REQUEST_ID_REUSED",
                )
            ],
            reason="REQUEST_ID_REUSED",
        )
    return bytes(row.answer)


def keep(tx: Transaction, project: str, request_id: str, fingerprint: str, answer: bytes) -> None:
    """Keeps the answer to a request beside what it wrote; forgets those of the day before."""
    tx.connection.execute(delete(requests).where(requests.c.time <= tx.now - KEPT))
    tx.connection.execute(
        insert(requests).values(
            project=project,
            request_id=request_id,
            fingerprint=fingerprint,
            answer=answer,
            time=tx.now,
        )
    )
