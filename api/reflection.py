"""Server reflection, v1 and v1alpha, that serves the API's comments too.

grpcio-reflection answers from Python's descriptors, which keep no comments. Here the files of
lbaas.v1 come from lbaas/v1/descriptors.binpb, which was made with source info; all others
(health, channelz, google/api) from the modules loaded.

v1 is v1alpha under another name, message for message
(https://github.com/grpc/grpc/blob/master/doc/server-reflection.md), so one implementation serves
both.
"""

import importlib.resources
from collections.abc import AsyncIterator, Iterable

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import (
    ErrorResponse,
    ExtensionNumberResponse,
    FileDescriptorResponse,
    ListServiceResponse,
    ServerReflectionRequest,
    ServerReflectionResponse,
    ServiceResponse,
)

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Adds both reflection services to a server.

    Args:
        server: A server that is not started yet.
        services: The full names of the other services on it, whose generated modules are loaded.
    """
    reflection = Reflection([*services, V1, V1ALPHA])
    handler = grpc.stream_stream_rpc_method_handler(
        reflection.serve,
        request_deserializer=ServerReflectionRequest.FromString,
        response_serializer=ServerReflectionResponse.SerializeToString,
    )
    for name in (V1, V1ALPHA):
        methods = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))


class Reflection:
    """Answers reflection's questions about a fixed set of services."""

    def __init__(self, services: Iterable[str]) -> None:
        """Takes the full names of the services."""
        self._services = sorted(set(services))
        self._files: dict[str, FileDescriptorProto] = {}
        # A pool of its own: the v1 file is no generated module, and a future one would clash.
        self._pool = descriptor_pool.DescriptorPool()
        for file in _commented():
            self._add(file)
        self._add_loaded(reflection_pb2.DESCRIPTOR)
        self._add(_as_v1(self._files[reflection_pb2.DESCRIPTOR.name]))
        for service in self._services:
            self._add_service(service)

    async def serve(
        self,
        requests: AsyncIterator[ServerReflectionRequest],
        _context: grpc.aio.ServicerContext[ServerReflectionRequest, ServerReflectionResponse],
    ) -> AsyncIterator[ServerReflectionResponse]:
        """Answers each question of a stream in turn."""
        async for request in requests:
            yield self.answer(request)

    def answer(self, request: ServerReflectionRequest) -> ServerReflectionResponse:
        """Gives the answer to one question; what is not known is NOT_FOUND within the answer."""
        response = ServerReflectionResponse(valid_host=request.host, original_request=request)
        try:
            self._fill(response, request)
        except KeyError:
            response.error_response.CopyFrom(
                ErrorResponse(
                    error_code=grpc.StatusCode.NOT_FOUND.value[0],
                    error_message="this server does not know it",
                )
            )
        return response

    def _fill(self, response: ServerReflectionResponse, request: ServerReflectionRequest) -> None:
        match request.WhichOneof("message_request"):
            case "list_services":
                names = [ServiceResponse(name=name) for name in self._services]
                response.list_services_response.CopyFrom(ListServiceResponse(service=names))
            case "file_by_filename":
                file = self._pool.FindFileByName(request.file_by_filename)
                response.file_descriptor_response.CopyFrom(self._with_imports(file))
            case "file_containing_symbol":
                file = self._containing(request.file_containing_symbol)
                response.file_descriptor_response.CopyFrom(self._with_imports(file))
            case "file_containing_extension":
                asked = request.file_containing_extension
                message = self._pool.FindMessageTypeByName(asked.containing_type)
                extension = self._pool.FindExtensionByNumber(message, asked.extension_number)
                file = self._pool.FindFileContainingSymbol(extension.full_name)
                response.file_descriptor_response.CopyFrom(self._with_imports(file))
            case "all_extension_numbers_of_type":
                message = self._pool.FindMessageTypeByName(request.all_extension_numbers_of_type)
                numbers = sorted(each.number for each in self._pool.FindAllExtensions(message))
                response.all_extension_numbers_response.CopyFrom(
                    ExtensionNumberResponse(
                        base_type_name=message.full_name, extension_number=numbers
                    )
                )
            case _:
                response.error_response.CopyFrom(
                    ErrorResponse(
                        error_code=grpc.StatusCode.INVALID_ARGUMENT.value[0],
                        error_message="the request asks nothing",
                    )
                )

    def _containing(self, symbol: str) -> FileDescriptor:
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # protobuf's pool does not count methods among the symbols; the protocol does.
            service, _, method = symbol.rpartition(".")
            return (
                self._pool.FindServiceByName(service)
                .methods_by_name[method]
                .containing_service.file
            )

    def _with_imports(self, file: FileDescriptor) -> FileDescriptorResponse:
        """Gives a file and all that it imports, itself first, as clients expect."""
        found: dict[str, bytes] = {}
        waiting = [file]
        while waiting:
            each = waiting.pop()
            if each.name not in found:
                found[each.name] = self._files[each.name].SerializeToString()
                waiting.extend(each.dependencies)
        return FileDescriptorResponse(file_descriptor_proto=list(found.values()))

    def _add(self, file: FileDescriptorProto) -> None:
        self._files[file.name] = file
        self._pool.AddSerializedFile(file.SerializeToString())

    def _add_loaded(self, file: FileDescriptor) -> None:
        """Adds a file of a loaded module, after those it imports."""
        if file.name in self._files:
            return
        for imported in file.dependencies:
            self._add_loaded(imported)
        proto = FileDescriptorProto()
        file.CopyToProto(proto)
        self._add(proto)

    def _add_service(self, service: str) -> None:
        try:
            self._pool.FindFileContainingSymbol(service)
        except KeyError:
            loaded = descriptor_pool.Default().FindFileContainingSymbol(service)
            self._add_loaded(loaded)


def _commented() -> Iterable[FileDescriptorProto]:
    """Gives the API's files with comments, and what they import, imports first."""
    packed = importlib.resources.files("lbaas.v1").joinpath("descriptors.binpb").read_bytes()
    return FileDescriptorSet.FromString(packed).file


def _as_v1(file: FileDescriptorProto) -> FileDescriptorProto:
    """Gives reflection's v1 file, made of the v1alpha one."""
    old, new = "grpc.reflection.v1alpha", "grpc.reflection.v1"
    renamed = FileDescriptorProto()
    renamed.CopyFrom(file)
    renamed.name = "grpc/reflection/v1/reflection.proto"
    renamed.package = new
    renamed.ClearField("options")  # v1alpha is deprecated, v1 is not
    for message in renamed.message_type:
        for field in (each for each in message.field if each.type_name):
            field.type_name = field.type_name.replace(old, new)
    for method in (method for service in renamed.service for method in service.method):
        method.input_type = method.input_type.replace(old, new)
        method.output_type = method.output_type.replace(old, new)
    return renamed
