"""Reflection as grpcurl and buf use it: over a real server, comments included."""

import asyncio
import importlib
import importlib.resources
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha.reflection_pb2 import (
    ExtensionRequest,
    ServerReflectionRequest,
    ServerReflectionResponse,
)

import lbaas.v1
from api.reflection import V1, V1ALPHA, add_reflection
from lbaas.v1 import pool_pb2, pool_service_pb2_grpc

BUF = Path(sys.executable).parent / "buf"
OURS = sorted(
    f"{file.package}.{service.name}"
    for file in FileDescriptorSet.FromString(
        importlib.resources.files("lbaas.v1").joinpath("descriptors.binpb").read_bytes()
    ).file
    if file.package == "lbaas.v1"
    for service in file.service
)
for _module in Path(lbaas.v1.__path__[0]).glob("*_service_pb2.py"):
    importlib.import_module(f"lbaas.v1.{_module.stem}")
HEALTH = "grpc.health.v1.Health"


class Pools(pool_service_pb2_grpc.PoolServiceServicer):
    async def GetPool(self, request, context):  # noqa: N802 - the method's name
        return pool_pb2.Pool(name=request.name)


@pytest.fixture
async def address() -> AsyncIterator[str]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    pool_service_pb2_grpc.add_PoolServiceServicer_to_server(Pools(), server)
    add_reflection(server, [*OURS, HEALTH])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(grace=None)


class Client:
    """A reflection client: grpcurl's questions, in grpcurl's order."""

    def __init__(self, channel: grpc.aio.Channel, service: str) -> None:
        self._call = channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )

    async def ask(self, **question) -> ServerReflectionResponse:
        async def requests():
            yield ServerReflectionRequest(**question)

        call = self._call(requests())
        answers = [answer async for answer in call]
        assert len(answers) == 1
        return answers[0]

    async def services(self) -> list[str]:
        answer = await self.ask(list_services="*")
        return [service.name for service in answer.list_services_response.service]

    async def files(self, symbol: str) -> list[FileDescriptorProto]:
        answer = await self.ask(file_containing_symbol=symbol)
        assert not answer.HasField("error_response"), answer.error_response
        files = answer.file_descriptor_response.file_descriptor_proto
        return [FileDescriptorProto.FromString(file) for file in files]


def uncommented(file: FileDescriptorProto) -> list[str]:
    """Gives the full name of everything in the file that has no comment."""
    commented = {
        tuple(each.path) for each in file.source_code_info.location if each.leading_comments.strip()
    }
    found: list[tuple[tuple[int, ...], str]] = []

    def enum(path: tuple[int, ...], name: str, proto: EnumDescriptorProto) -> None:
        found.append((path, name))
        found.extend(((*path, 2, i), f"{name}.{v.name}") for i, v in enumerate(proto.value))

    def message(path: tuple[int, ...], name: str, proto: DescriptorProto) -> None:
        if proto.options.map_entry:
            return
        found.append((path, name))
        found.extend(((*path, 2, i), f"{name}.{f.name}") for i, f in enumerate(proto.field))
        for i, nested in enumerate(proto.nested_type):
            message((*path, 3, i), f"{name}.{nested.name}", nested)
        for i, each in enumerate(proto.enum_type):
            enum((*path, 4, i), f"{name}.{each.name}", each)

    for i, each in enumerate(file.message_type):
        message((4, i), each.name, each)
    for i, each in enumerate(file.enum_type):
        enum((5, i), each.name, each)
    for i, service in enumerate(file.service):
        found.append(((6, i), service.name))
        found.extend(
            ((6, i, 2, m), f"{service.name}.{x.name}") for m, x in enumerate(service.method)
        )
    assert found
    return [name for path, name in found if path not in commented]


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_every_service_method_and_field_has_its_comment(address: str, version: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        client = Client(channel, version)
        assert await client.services() == sorted([*OURS, HEALTH, V1, V1ALPHA])
        seen: dict[str, FileDescriptorProto] = {}
        for service in OURS:
            files = await client.files(service)
            assert any(service.endswith(f".{each.name}") for each in files[0].service)
            seen |= {file.name: file for file in files}
    ours = [file for file in seen.values() if file.package == "lbaas.v1"]
    assert len(ours) == len(list(Path(__file__).parents[2].glob("protos/lbaas/v1/*.proto")))
    assert [name for file in ours for name in uncommented(file)] == []


def built(files: list[FileDescriptorProto]) -> descriptor_pool.DescriptorPool:
    """Gives a pool of the files; fails if one of those they import was not served."""
    pool, waiting = descriptor_pool.DescriptorPool(), {file.name: file for file in files}

    def add(file: FileDescriptorProto) -> None:
        for name in file.dependency:
            if name in waiting:
                add(waiting.pop(name))
        pool.AddSerializedFile(file.SerializeToString())

    while waiting:
        add(waiting.pop(next(iter(waiting))))
    return pool


async def test_what_is_served_builds_a_pool_and_describes_the_code_loaded(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        client = Client(channel, V1)
        for service in [*OURS, HEALTH, V1, V1ALPHA]:
            pool = built(await client.files(service))
            described = pool.FindServiceByName(service)
            if service == V1:
                method = described.methods_by_name["ServerReflectionInfo"]
                assert method.input_type.full_name == "grpc.reflection.v1.ServerReflectionRequest"
                continue
            loaded = descriptor_pool.Default().FindServiceByName(service)
            assert [m.name for m in described.methods] == [m.name for m in loaded.methods]


async def test_symbols_files_and_extensions_are_found(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        client = Client(channel, V1)
        for symbol in (
            "lbaas.v1.Pool",
            "lbaas.v1.PoolService.CreatePool",
            "lbaas.v1.Protocol.Code",
        ):
            assert (await client.files(symbol))[0].package == "lbaas.v1"
        by_name = await client.ask(file_by_filename="lbaas/v1/pool.proto")
        first = by_name.file_descriptor_response.file_descriptor_proto[0]
        assert FileDescriptorProto.FromString(first).name == "lbaas/v1/pool.proto"
        options = "google.protobuf.MethodOptions"
        numbers = await client.ask(all_extension_numbers_of_type=options)
        http = 72295728
        assert http in numbers.all_extension_numbers_response.extension_number
        found = await client.ask(
            file_containing_extension=ExtensionRequest(
                containing_type=options, extension_number=http
            )
        )
        first = found.file_descriptor_response.file_descriptor_proto[0]
        assert FileDescriptorProto.FromString(first).name == "google/api/annotations.proto"


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"file_containing_symbol": "lbaas.v1.Nothing"}, grpc.StatusCode.NOT_FOUND),
        ({"file_by_filename": "nothing.proto"}, grpc.StatusCode.NOT_FOUND),
        ({"all_extension_numbers_of_type": "a.B"}, grpc.StatusCode.NOT_FOUND),
        ({}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_an_unknown_thing_is_an_answer_not_a_failure(address, question, code) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await Client(channel, V1ALPHA).ask(**question)
    assert answer.error_response.error_code == code.value[0]
    assert answer.original_request == ServerReflectionRequest(**question)


async def buf(*arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        BUF,
        "curl",
        "--http2-prior-knowledge",
        "--protocol=grpc",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_buf_curl_lists_services_and_methods_and_calls_one(address: str) -> None:
    services = await buf("--list-services", f"http://{address}")
    assert services.split() == sorted([*OURS, HEALTH, V1, V1ALPHA])
    methods = await buf("--list-methods", f"http://{address}")
    assert "lbaas.v1.PoolService/AssociateHealthMonitor" in methods.split()
    name = "projects/demo/pools/web"
    data = f'{{"name": "{name}"}}'
    answer = await buf("--data", data, f"http://{address}/lbaas.v1.PoolService/GetPool")
    assert name in answer


async def test_health_is_served_as_before(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
