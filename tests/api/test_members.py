"""MemberService: standard methods, moves, batches."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from lbaas.v1.member_pb2 import Member
from lbaas.v1.member_service_pb2 import (
    BatchCreateMembersRequest,
    BatchDeleteMembersRequest,
    BatchUpdateMembersRequest,
    CreateMemberRequest,
    DeleteMemberRequest,
    GetMemberRequest,
    ListMembersRequest,
    MoveMemberRequest,
    UpdateMemberRequest,
)
from lbaas.v1.status_pb2 import ProvisioningStatus
from tests.api import make
from tests.api.client import Client, Code, refused

M1 = f"{make.WEB}/members/m1"
API = f"{make.ACME}/pools/api"


async def test_defaults_are_told(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    made = await client.members.CreateMember(make.create_member(drain_timeout=Duration(seconds=9)))

    assert made.name == M1
    assert made.weight == 1
    assert made.admin_state_up
    assert made.drain_timeout.seconds == 9
    assert await client.members.GetMember(GetMemberRequest(name=M1)) == made


async def test_weight_zero_is_a_weight(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.members.CreateMember(make.create_member())

    after = await client.members.UpdateMember(UpdateMemberRequest(member=Member(name=M1, weight=0)))
    assert after.weight == 0
    kept = await client.members.UpdateMember(
        UpdateMemberRequest(member=Member(name=M1, backup=True))
    )
    assert kept.weight == 0
    cleared = await client.members.UpdateMember(
        UpdateMemberRequest(member=Member(name=M1), update_mask=FieldMask(paths=["weight"]))
    )
    assert cleared.weight == 1


async def test_a_member_of_no_pool_is_not_found(client: Client) -> None:
    await refused(client.members.CreateMember(make.create_member()), Code.NOT_FOUND)
    await refused(client.members.ListMembers(ListMembersRequest(parent=make.WEB)), Code.NOT_FOUND)


async def test_a_moved_member_keeps_its_uid(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.pools.CreatePool(make.create_pool("api"))
    made = await client.members.CreateMember(make.create_member())

    moved = await client.members.MoveMember(MoveMemberRequest(name=M1, destination_pool=API))

    assert moved.name == f"{API}/members/m1"
    assert moved.uid == made.uid
    await refused(client.members.GetMember(GetMemberRequest(name=M1)), Code.NOT_FOUND)


async def test_a_move_to_another_project_is_not_found(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.pools.CreatePool(make.create_pool(parent="projects/other"))
    await client.members.CreateMember(make.create_member())

    await refused(
        client.members.MoveMember(
            MoveMemberRequest(name=M1, destination_pool="projects/other/pools/web")
        ),
        Code.NOT_FOUND,
    )


async def test_a_deleted_member_is_pending_delete(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.members.CreateMember(make.create_member())

    gone = await client.members.DeleteMember(DeleteMemberRequest(name=M1))

    assert gone.provisioning_status == ProvisioningStatus.PENDING_DELETE


async def test_a_batch_is_one_revision(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    made = await client.members.BatchCreateMembers(
        BatchCreateMembersRequest(
            parent=make.WEB,
            requests=[
                CreateMemberRequest(member_id=f"m{n}", member=make.member(n)) for n in range(1000)
            ],
        )
    )

    assert len(made.members) == 1000
    assert len({member.revision for member in made.members}) == 1
    page = await client.members.ListMembers(ListMembersRequest(parent=make.WEB, page_size=100_000))
    assert len(page.members) == 1000
    updated = await client.members.BatchUpdateMembers(
        BatchUpdateMembersRequest(
            parent=make.WEB,
            requests=[
                UpdateMemberRequest(member=Member(name=member.name, weight=5))
                for member in made.members[:10]
            ],
        )
    )
    assert {member.weight for member in updated.members} == {5}
    gone = await client.members.BatchDeleteMembers(
        BatchDeleteMembersRequest(
            parent=make.WEB, names=[member.name for member in made.members[:10]]
        )
    )
    assert len({member.revision for member in gone.members}) == 1


async def test_a_batch_is_all_or_nothing_with_all_violations(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    refusal = await refused(
        client.members.BatchCreateMembers(
            BatchCreateMembersRequest(
                parent=make.WEB,
                requests=[
                    CreateMemberRequest(member_id="good", member=make.member(1)),
                    CreateMemberRequest(member_id="Bad", member=make.member(2, port=0)),
                    CreateMemberRequest(parent=API, member=make.member(3, address="db.local")),
                ],
            )
        ),
        Code.INVALID_ARGUMENT,
    )

    assert set(refusal.fields) == {
        "requests[1].member_id",
        "requests[1].member.port",
        "requests[2].parent",
        "requests[2].member.address",
    }
    page = await client.members.ListMembers(ListMembersRequest(parent=make.WEB))
    assert not page.members


async def test_rules_of_the_store_name_the_request_in_a_batch(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())

    refusal = await refused(
        client.members.BatchCreateMembers(
            BatchCreateMembersRequest(
                parent=make.WEB,
                requests=[
                    CreateMemberRequest(member=make.member(1)),
                    CreateMemberRequest(member=make.member(2, port=70000, weight=999)),
                ],
            )
        ),
        Code.INVALID_ARGUMENT,
    )

    assert set(refusal.fields) == {"requests[1].member.port", "requests[1].member.weight"}


async def test_a_batch_has_bounds_and_one_pool(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    empty = BatchCreateMembersRequest(parent=make.WEB)
    refusal = await refused(client.members.BatchCreateMembers(empty), Code.INVALID_ARGUMENT)
    assert set(refusal.fields) == {"requests"}

    large = BatchDeleteMembersRequest(parent=make.WEB, names=[M1] * 1001)
    refusal = await refused(client.members.BatchDeleteMembers(large), Code.INVALID_ARGUMENT)
    assert "requests" in refusal.fields

    foreign = BatchDeleteMembersRequest(parent=make.WEB, names=[f"{API}/members/m1"])
    refusal = await refused(client.members.BatchDeleteMembers(foreign), Code.INVALID_ARGUMENT)
    assert set(refusal.fields) == {"names[0]"}


async def test_a_batch_update_that_fails_changes_nothing(client: Client) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.members.CreateMember(make.create_member(1))
    await client.members.CreateMember(make.create_member(2))
    requests = [
        UpdateMemberRequest(member=Member(name=M1, weight=7)),
        UpdateMemberRequest(member=Member(name=f"{make.WEB}/members/m2", weight=700)),
    ]

    refusal = await refused(
        client.members.BatchUpdateMembers(
            BatchUpdateMembersRequest(parent=make.WEB, requests=requests)
        ),
        Code.INVALID_ARGUMENT,
    )

    assert set(refusal.fields) == {"requests[1].member.weight"}
    assert (await client.members.GetMember(GetMemberRequest(name=M1))).weight == 1
