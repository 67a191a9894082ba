"""Errors: the shape of each, and that nothing of the inside gets out."""

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2
from structlog.testing import capture_logs

from api.errors import clip, to_status
from api.server import ApiServer
from lbaas.model.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unavailable,
    Violation,
)
from lbaas.store.store import Store
from lbaas.v1.pool_service_pb2 import GetPoolRequest
from tests.api import make
from tests.api.client import Client, Code, refused, taken_apart


def detail(status, kind):
    for each in status.details:
        found = kind()
        if each.Unpack(found):
            return found
    raise AssertionError([each.type_url for each in status.details])


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (
            InvalidArgument([Violation("port", "is 0")]),
            code_pb2.INVALID_ARGUMENT,
            error_details_pb2.BadRequest,
        ),
        (NotFound("pool", make.WEB), code_pb2.NOT_FOUND, error_details_pb2.ResourceInfo),
        (AlreadyExists("pool", make.WEB), code_pb2.ALREADY_EXISTS, error_details_pb2.ResourceInfo),
        (
            FailedPrecondition("no", reason="BUSY", subject=make.WEB),
            code_pb2.FAILED_PRECONDITION,
            error_details_pb2.PreconditionFailure,
        ),
        (
            QuotaExceeded("acme", "pools", 10),
            code_pb2.RESOURCE_EXHAUSTED,
            error_details_pb2.QuotaFailure,
        ),
        (Unavailable("down"), code_pb2.UNAVAILABLE, error_details_pb2.RetryInfo),
        (Aborted("x", "1", "2"), code_pb2.ABORTED, error_details_pb2.ErrorInfo),
        (
            PermissionDenied("x", reason="R"),
            code_pb2.PERMISSION_DENIED,
            error_details_pb2.ErrorInfo,
        ),
    ],
)
def test_each_error_has_its_code_and_details(error, code, kind) -> None:
    status = to_status(error)

    assert status.code == code
    assert status.message
    info = detail(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (error.reason, "tidegate")
    assert detail(status, kind)


def test_how_long_to_wait_is_told() -> None:
    retry = detail(to_status(Unavailable("x", retry_after=1.5)), error_details_pb2.RetryInfo)

    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)


def test_an_unknown_error_shows_an_id_and_nothing_else() -> None:
    with capture_logs() as logs:
        status = to_status(RuntimeError("the password is hunter2"))

    assert status.code == code_pb2.INTERNAL
    assert "hunter2" not in str(status)
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info.metadata["incident"] in status.message
    (entry,) = logs
    assert entry["incident"] == info.metadata["incident"]
    assert "hunter2" in str(entry["exc_info"])


def test_many_violations_fit_into_the_trailers() -> None:
    many = [Violation(f"f[{n}]" * 50, "ж" * 1000) for n in range(5000)]

    status = to_status(InvalidArgument(many))

    assert status.ByteSize() < 6000
    last = detail(status, error_details_pb2.BadRequest).field_violations[-1]
    assert "more violations" in last.description
    # What gRPC makes of it: the message percent-encoded, the details in base64.
    encoded = sum(1 if byte < 128 else 3 for byte in status.message.encode())
    assert encoded + status.ByteSize() * 4 / 3 < 8192


def test_clipping_keeps_whole_characters() -> None:
    assert clip("ж" * 10, size=10) == "жжж…"
    assert clip("short", size=10) == "short"


async def test_a_store_that_breaks_is_internal_with_nothing_of_it(
    client: Client, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args, **_kwargs):
        raise RuntimeError("SELECT secret FROM tables at /srv/inside.py")

    monkeypatch.setattr(store, "read", broken)

    refusal = await refused(
        client.pools.GetPool(GetPoolRequest(name=make.WEB)), Code.INTERNAL, "INTERNAL"
    )

    assert "SELECT" not in refusal.message + str(refusal.status)
    assert "inside.py" not in refusal.message + str(refusal.status)
    assert refusal.metadata["incident"] in refusal.message


async def test_a_closed_store_is_unavailable(client: Client, store: Store) -> None:
    await store.close()

    refusal = await refused(client.pools.GetPool(GetPoolRequest(name=make.WEB)), Code.UNAVAILABLE)

    assert refusal.kinds == ["RetryInfo"]


@pytest.mark.parametrize("name", ["projects/acme/pools/жук", "projects/acme/pools/\n\u202e", "💥"])
async def test_a_tenants_text_in_an_error_breaks_no_metadata(client: Client, name: str) -> None:
    refusal = await refused(client.pools.GetPool(GetPoolRequest(name=name)), Code.INVALID_ARGUMENT)

    assert "name" in refusal.fields
    assert refusal.message


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x0a\x05ab",
        b"\x0a\x02\xff\xfe",  # bad UTF-8 in a string
        b"\x1a" + b"\x80" * 20,
        b"\x0b" * 200,  # groups, 200 deep
    ],
)
async def test_garbage_is_invalid_and_the_server_goes_on(client: Client, data: bytes) -> None:
    call = client.channel.unary_unary(
        "/lbaas.v1.PoolService/CreatePool",
        request_serializer=lambda given: given,
        response_deserializer=lambda given: given,
    )

    await refused(call(data), Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")

    await client.pools.CreatePool(make.create_pool())


async def test_garbage_is_invalid_on_a_stream_too(client: Client) -> None:
    call = client.channel.unary_stream(
        "/lbaas.v1.LoadBalancerService/Watch",
        request_serializer=lambda given: given,
        response_deserializer=lambda given: given,
    )
    await refused(call(b"\xff\xff").read(), Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")

    both = client.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda given: given,
        response_deserializer=lambda given: given,
    )()
    await both.write(b"\xff\xff")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await both.read()
    assert taken_apart(caught.value).reason == "MALFORMED_MESSAGE"


async def test_what_is_too_large_is_exhausted(client: Client, server: ApiServer) -> None:
    request = make.create_pool(description="x" * (5 * 1024 * 1024))
    await refused(client.pools.CreatePool(request), Code.RESOURCE_EXHAUSTED)

    await refused(
        client.pools.CreatePool(make.create_pool(), metadata=(("x-large", "x" * 40_000),)),
        Code.RESOURCE_EXHAUSTED,
    )

    await client.pools.CreatePool(make.create_pool())


async def test_a_method_that_is_none_is_unimplemented(client: Client) -> None:
    call = client.channel.unary_unary(
        "/lbaas.v1.PoolService/Nonsense",
        request_serializer=lambda given: given,
        response_deserializer=lambda given: given,
    )

    await refused(call(any_pb2.Any().SerializeToString()), Code.UNIMPLEMENTED)


async def test_nothing_is_logged_for_what_callers_do_wrong(client: Client) -> None:
    with capture_logs() as logs:
        await refused(client.pools.GetPool(GetPoolRequest(name="x")), Code.INVALID_ARGUMENT)
        await refused(client.pools.GetPool(GetPoolRequest(name=make.WEB)), Code.NOT_FOUND)

    assert not logs
