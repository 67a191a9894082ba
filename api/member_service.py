"""MemberService."""

from api.caller import Context
from api.member_batches import MemberBatches
from api.resources import MEMBERS
from api.serving import Serving
from api.standard_methods import StandardMethods
from lbaas.model.names import POOL
from lbaas.model.objects import Member
from lbaas.store import members
from lbaas.store.shelf import check_etag
from lbaas.store.transaction import Transaction
from lbaas.v1 import member_pb2, member_service_pb2
from lbaas.v1.member_service_pb2_grpc import MemberServiceServicer


class MemberService(MemberServiceServicer):
    """Members of pools, one by one and in batches."""

    def __init__(self, serving: Serving) -> None:
        """Takes what all servicers share."""
        self._methods = StandardMethods(MEMBERS, serving)
        self._batches = MemberBatches(serving)

    async def CreateMember(
        self, request: member_service_pb2.CreateMemberRequest, context: Context
    ) -> member_pb2.Member:
        """Creates a member."""
        return await self._methods.create(
            request,
            parent=request.parent,
            object_id=request.member_id,
            message=request.member if request.HasField("member") else None,
        )

    async def GetMember(
        self, request: member_service_pb2.GetMemberRequest, context: Context
    ) -> member_pb2.Member:
        """Gives one member."""
        return await self._methods.get(request.name)

    async def ListMembers(
        self, request: member_service_pb2.ListMembersRequest, context: Context
    ) -> member_service_pb2.ListMembersResponse:
        """Gives a page of a pool's members."""
        found, token = await self._methods.page(request, parent=request.parent)
        return member_service_pb2.ListMembersResponse(members=found, next_page_token=token)

    async def UpdateMember(
        self, request: member_service_pb2.UpdateMemberRequest, context: Context
    ) -> member_pb2.Member:
        """Updates a member."""
        return await self._methods.update(request, message=request.member)

    async def DeleteMember(
        self, request: member_service_pb2.DeleteMemberRequest, context: Context
    ) -> member_pb2.Member:
        """Deletes a member."""
        return await self._methods.act(
            request,
            name=request.name,
            action=lambda tx: members.delete(tx, request.name, etag=request.etag),
        )

    async def MoveMember(
        self, request: member_service_pb2.MoveMemberRequest, context: Context
    ) -> member_pb2.Member:
        """Moves a member to another pool; its uid stays."""
        return await self._methods.act(
            request,
            name=request.name,
            references=((POOL, "destination_pool", request.destination_pool),),
            new_id=("member_id", request.member_id),
            action=lambda tx: _move(tx, request),
        )

    async def BatchCreateMembers(
        self, request: member_service_pb2.BatchCreateMembersRequest, context: Context
    ) -> member_service_pb2.BatchCreateMembersResponse:
        """Creates members, all or none."""
        return await self._batches.create(request)

    async def BatchUpdateMembers(
        self, request: member_service_pb2.BatchUpdateMembersRequest, context: Context
    ) -> member_service_pb2.BatchUpdateMembersResponse:
        """Updates members, all or none."""
        return await self._batches.update(request)

    async def BatchDeleteMembers(
        self, request: member_service_pb2.BatchDeleteMembersRequest, context: Context
    ) -> member_service_pb2.BatchDeleteMembersResponse:
        """Deletes members, all or none."""
        return await self._batches.delete(request)


def _move(tx: Transaction, request: member_service_pb2.MoveMemberRequest) -> Member:
    check_etag(request.name, members.get(tx, request.name).record, request.etag)
    return members.move(tx, request.name, request.destination_pool, member_id=request.member_id)
