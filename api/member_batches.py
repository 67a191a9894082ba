"""Batches of members: all or none, in one transaction, with one revision (AIP-231 and on)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from api.conversion.members import read_member
from api.conversion.reading import Reading
from api.mutation import Mutating, mutate
from api.resources import MEMBERS
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.model.errors import InvalidArgument, Violation
from lbaas.model.names import MEMBER, POOL, check_id, check_name, new_id, project_of
from lbaas.model.objects import Member
from lbaas.model.rules import check_members
from lbaas.store import members
from lbaas.store.transaction import Transaction
from lbaas.v1 import member_pb2, member_service_pb2

A = TypeVar("A", bound=Message)

LARGEST_BATCH = 1000


class Nested(Protocol):
    """A request inside a batch: the batch decides what is common to all."""

    @property
    def validate_only(self) -> bool:
        """Must be false."""
        ...

    @property
    def request_id(self) -> str:
        """Must be empty."""
        ...


class MemberBatches:
    """Creates, updates and deletes many members of one pool at once."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._serving = serving
        self._methods = StandardMethods(MEMBERS, serving)

    async def create(
        self, request: member_service_pb2.BatchCreateMembersRequest
    ) -> member_service_pb2.BatchCreateMembersResponse:
        """Creates members."""
        reading = self._begin(request.parent, len(request.requests))
        for index, each in enumerate(request.requests[:LARGEST_BATCH]):
            part = reading.under(f"requests[{index}]")
            _check_nested(each, part)
            if each.parent not in {"", request.parent}:
                part.wrong("parent", "is not the batch's: leave it out", "OTHER_PARENT")
            if each.member_id:
                part.add(check_id(each.member_id, field="member_id"))
        # A name that is good for certain stands in where parent or id are not.
        parent = request.parent if POOL.parse(request.parent) else "projects/any/pools/any"
        new = [
            read_member(
                each.member,
                f"{parent}/members/{_id_or_new(each.member_id)}",
                reading.under(f"requests[{index}].member"),
            )
            for index, each in enumerate(request.requests[:LARGEST_BATCH])
        ]
        reading.add(_requests(check_members(new, policy=self._serving.policy), "member"))
        return await self._run(
            request,
            reading=reading,
            parent=request.parent,
            names=(),
            work=lambda tx: members.create_many(tx, new),
            answer=member_service_pb2.BatchCreateMembersResponse,
            fill=lambda made: member_service_pb2.BatchCreateMembersResponse(members=made),
        )

    async def update(
        self, request: member_service_pb2.BatchUpdateMembersRequest
    ) -> member_service_pb2.BatchUpdateMembersResponse:
        """Updates members."""
        reading = self._begin(request.parent, len(request.requests))
        for index, each in enumerate(request.requests[:LARGEST_BATCH]):
            part = reading.under(f"requests[{index}]")
            _check_nested(each, part)
            _check_own(part, "member.name", each.member.name, request.parent)
        _check_once(reading, "requests", [each.member.name for each in request.requests])

        def work(tx: Transaction) -> Sequence[Member]:
            done: list[Member] = []
            wrong = Reading()
            for index, each in enumerate(request.requests):
                try:
                    done.append(self._update_one(tx, each))
                except InvalidArgument as error:
                    wrong.under(f"requests[{index}].member").add(error.violations)
            wrong.finish()
            return done

        return await self._run(
            request,
            reading=reading,
            parent=request.parent,
            names=[each.member.name for each in request.requests],
            work=work,
            answer=member_service_pb2.BatchUpdateMembersResponse,
            fill=lambda made: member_service_pb2.BatchUpdateMembersResponse(members=made),
        )

    async def delete(
        self, request: member_service_pb2.BatchDeleteMembersRequest
    ) -> member_service_pb2.BatchDeleteMembersResponse:
        """Deletes members."""
        reading = self._begin(request.parent, len(request.names))
        for index, name in enumerate(request.names[:LARGEST_BATCH]):
            _check_own(reading, f"names[{index}]", name, request.parent)
        _check_once(reading, "names", request.names)
        return await self._run(
            request,
            reading=reading,
            parent=request.parent,
            names=request.names,
            work=lambda tx: [members.delete(tx, name) for name in request.names],
            answer=member_service_pb2.BatchDeleteMembersResponse,
            fill=lambda made: member_service_pb2.BatchDeleteMembersResponse(members=made),
        )

    def _update_one(
        self, tx: Transaction, request: member_service_pb2.UpdateMemberRequest
    ) -> Member:
        message = request.member
        return members.update(
            tx,
            message.name,
            lambda current: self._methods.changed(request, current, message),
            etag=message.etag,
        )

    def _begin(self, parent: str, count: int) -> Reading:
        reading = Reading()
        reading.add(check_name(POOL, parent, field="parent"))
        if not count:
            reading.wrong("requests", "is empty: give at least one", "REQUIRED")
        if count > LARGEST_BATCH:
            reading.wrong(
                "requests",
                f"has {count} entries: send at most {LARGEST_BATCH} at once",
                "TOO_MANY",
            )
        return reading

    async def _run(
        self,
        request: Mutating,
        *,
        reading: Reading,
        parent: str,
        names: Sequence[str],
        work: Callable[[Transaction], Sequence[Member]],
        answer: type[A],
        fill: Callable[[list[member_pb2.Member]], A],
    ) -> A:
        seen = self._serving.see_each(parent, names if not reading.violations else ())
        return await mutate(
            self._serving.store,
            request,
            project=project_of(parent),
            answer=answer,
            reading=reading,
            work=lambda tx: fill(self._methods.picture(tx, work(tx), seen)),
        )


def _id_or_new(member_id: str) -> str:
    return new_id() if not member_id or check_id(member_id, field="member_id") else member_id


def _check_nested(request: Nested, reading: Reading) -> None:
    if request.validate_only or request.request_id:
        reading.wrong(
            "request_id" if request.request_id else "validate_only",
            "belongs to the batch as a whole: set it there",
            "NOT_APPLICABLE",
        )


def _check_own(reading: Reading, field: str, name: str, parent: str) -> None:
    wrong = check_name(MEMBER, name, field=field)
    reading.add(wrong)
    if not wrong and not name.startswith(f"{parent}/members/"):
        reading.wrong(field, f"is not in {parent}: a batch is of one pool", "OTHER_PARENT")


def _check_once(reading: Reading, field: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(names[:LARGEST_BATCH]):
        if name in seen:
            reading.wrong(f"{field}[{index}]", f"names {name} again", "DUPLICATE")
        seen.add(name)


def _requests(violations: Sequence[Violation], part: str) -> list[Violation]:
    """Gives violations of `members[i].x` as those of `requests[i].member.x`."""
    moved = []
    for each in violations:
        head, bracket, rest = each.field.partition("]")
        path = head.replace("members[", "requests[", 1) + bracket + f".{part}" + rest
        moved.append(replace(each, field=path))
    return moved
