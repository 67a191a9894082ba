"""What holds for every method, whatever it is: generated from the descriptors."""

import random
import uuid

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from lbaas.store.store import Store
from lbaas.v1.load_balancer_service_pb2 import ApplyRequest
from tests.api import make
from tests.api.client import Client, Code, Refusal, taken_apart
from tests.contract.calls import METHODS, Method, made_up, references

ROUNDS = 12
EMPTY_IS_FINE = {"ListFleets", "ListServiceTypes"}

every = pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path[10:])


async def outcome(client: Client, method: Method, request: Message) -> Refusal | None:
    try:
        await method.call(client.channel, request)
    except grpc.aio.AioRpcError as error:
        return taken_apart(error)
    return None


def fair(refusal: Refusal | None) -> None:
    """A refusal says why, in a form for programs, and shows nothing of the inside."""
    if refusal is None:
        return
    assert refusal.code not in {Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS}, refusal.message
    assert refusal.reason, (refusal.code, refusal.message)
    assert "Traceback" not in refusal.message
    assert "sqlalchemy" not in refusal.message.lower()
    if refusal.code is Code.INVALID_ARGUMENT:
        assert refusal.fields


@every
async def test_an_empty_request(client: Client, method: Method) -> None:
    refusal = await outcome(client, method, method.request())

    if method.descriptor.name in EMPTY_IS_FINE:
        assert refusal is None
        return
    fair(refusal)
    assert refusal is not None
    assert refusal.code is Code.INVALID_ARGUMENT


@every
async def test_anything_at_all(client: Client, method: Method) -> None:
    await client.pools.CreatePool(make.create_pool())
    await client.members.CreateMember(make.create_member())
    await client.monitors.CreateHealthMonitor(make.create_monitor())
    await client.vips.CreateVip(make.create_vip())
    chance = random.Random(method.path)
    for _ in range(ROUNDS):
        fair(await outcome(client, method, made_up(method.request, chance)))


@every
async def test_bytes_that_are_no_message(client: Client, method: Method) -> None:
    chance = random.Random(method.path)
    for data in (b"\xff", chance.randbytes(300), b"\x0a\x7fab"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method.send(client.channel, data)
        refusal = taken_apart(caught.value)
        assert (refusal.code, refusal.reason) == (Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


@pytest.mark.parametrize(
    "method", [each for each in METHODS if each.writes], ids=lambda each: each.path[10:]
)
async def test_every_write_checks_its_request_id(
    client: Client, store: Store, method: Method
) -> None:
    before = await store.read(lambda tx: tx.revision)
    request = method.request(request_id="once")

    refusal = await outcome(client, method, request)

    assert refusal is not None
    assert "request_id" in refusal.fields
    assert await store.read(lambda tx: tx.revision) == before


FOREIGN = {
    "health_monitor": "projects/other/healthMonitors/check",
    "health_monitors": "projects/other/healthMonitors/check",
    "destination_pool": "projects/other/pools/web",
    "pool": "projects/other/pools/web",
}
REFERENCES = [
    (method, path)
    for method in METHODS
    for path in references(method.request)
    if path[-1] in FOREIGN
]


@pytest.mark.parametrize(
    ("method", "path"),
    REFERENCES,
    ids=[f"{method.path[10:]}:{'.'.join(path)}" for method, path in REFERENCES],
)
async def test_another_projects_object_is_not_there(
    client: Client, store: Store, method: Method, path: tuple[str, ...]
) -> None:
    for parent in (make.ACME, "projects/other"):
        await client.pools.CreatePool(make.create_pool(parent=parent))
        await client.members.CreateMember(make.create_member(parent=f"{parent}/pools/web"))
        await client.monitors.CreateHealthMonitor(make.create_monitor(parent=parent))
        await client.vips.CreateVip(make.create_vip(parent=parent, pool=f"{parent}/pools/web"))
    before = await store.read(lambda tx: tx.revision)
    request = good(method)
    part = request
    for step in path[:-1]:
        part = getattr(part, step)
    field = part.DESCRIPTOR.fields_by_name[path[-1]]
    if field.is_repeated:
        getattr(part, path[-1]).append(FOREIGN[path[-1]])
    else:
        setattr(part, path[-1], FOREIGN[path[-1]])

    refusal = await outcome(client, method, request)

    assert refusal is not None
    assert refusal.code is Code.NOT_FOUND, refusal.message
    assert await store.read(lambda tx: tx.revision) == before


def test_the_references_are_those_we_know() -> None:
    """A new reference must be thought about: is it of the caller's own project?"""
    found = {f"{method.descriptor.name}:{'.'.join(path)}" for method, path in REFERENCES}

    assert found == {
        "CreatePool:pool.health_monitors",
        "UpdatePool:pool.health_monitors",
        "AssociateHealthMonitor:health_monitor",
        "DisassociateHealthMonitor:health_monitor",
        "MoveMember:destination_pool",
        "CreateVip:vip.pool",
        "UpdateVip:vip.pool",
        "Apply:load_balancer.pool.health_monitors",
    }


def good(method: Method) -> Message:
    """Gives a request that would do, for methods with references."""
    request = method.request()
    name = method.descriptor.name
    if name == "CreatePool":
        request.CopyFrom(make.create_pool("new"))
    elif name == "UpdatePool":
        request.pool.name = make.WEB
    elif name == "CreateVip":
        request.CopyFrom(make.create_vip("new", port=81))
    elif name == "UpdateVip":
        request.vip.name = f"{make.ACME}/vips/web"
    elif name == "MoveMember":
        request.name = f"{make.WEB}/members/m1"
    elif isinstance(request, ApplyRequest):
        request.load_balancer.pool.CopyFrom(make.pool(name=make.WEB))
    else:
        request.name = make.WEB
    return request


async def test_every_repeated_create_gets_its_first_answer(client: Client) -> None:
    requests = [
        (client.pools.CreatePool, make.create_pool("")),
        (client.members.CreateMember, make.create_member(member_id="x")),
        (client.monitors.CreateHealthMonitor, make.create_monitor("")),
        (client.vips.CreateVip, make.create_vip("")),
        (client.fleets.CreateFleet, make.create_fleet("")),
    ]
    await client.pools.CreatePool(make.create_pool())
    for call, request in requests:
        request.request_id = str(uuid.uuid4())
        assert await call(request) == await call(request)
