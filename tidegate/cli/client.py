"""Calls to the API in proto3 JSON. Imported only when a call is made: grpc costs 90 ms."""

import importlib
from collections.abc import Callable, Collection, Iterator, Sequence

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tidegate.cli.failure import CommandError
from tidegate.cli.json_value import JsonObject
from tidegate.cli.refusal import refusal

_MODULES = {
    "AgentService": "agent_service",
    "FleetService": "fleet_service",
    "HealthMonitorService": "health_monitor_service",
    "LoadBalancerService": "load_balancer_service",
    "MemberService": "member_service",
    "PoolService": "pool_service",
    "QuotaService": "quota_service",
    "ServiceTypeService": "service_type_service",
    "VipService": "vip_service",
}
# Straight to the control plane, past any proxy; an answer may hold 1,000 objects.
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20))


def descriptor(method: str) -> MethodDescriptor:
    """Gives the descriptor of `PoolService/CreatePool`."""
    service, _, name = method.partition("/")
    importlib.import_module(f"lbaas.v1.{_MODULES[service]}_pb2")
    return Default().FindServiceByName(f"lbaas.v1.{service}").methods_by_name[name]


def check(method: str, request: JsonObject) -> None:
    """Checks that a request is what the method takes.

    Raises:
        CommandError: it is not.
    """
    message_of(method, request)


def message_of(method: str, request: JsonObject) -> Message:
    """Gives a request as the method's message.

    Raises:
        CommandError: a field is unknown or has the wrong type.
    """
    message: Message = GetMessageClass(descriptor(method).input_type)()
    try:
        json_format.ParseDict(request, message)
    except json_format.ParseError as error:
        raise CommandError("the request is not what the API takes", why=[str(error)]) from error
    return message


class Client:
    """A connection to the API for one command."""

    def __init__(self, server: str, *, command: str, options: Collection[str] = ()) -> None:
        """Connects when the first call is made.

        Args:
            server: `host:port` or `unix:/path`.
            command: the command as typed, for the errors' texts.
            options: the command's own, for the same.
        """
        self._server = server
        self._command = command
        self._options = options
        self._channel = grpc.insecure_channel(server, options=_OPTIONS)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def call(self, method: str, request: JsonObject, *, timeout: float) -> JsonObject:
        """Makes a call (`PoolService/CreatePool`) and gives its answer; `timeout` in seconds.

        Raises:
            CommandError: the call failed; it says what, why, and the next command.
        """
        message = message_of(method, request)
        run = self._channel.unary_unary(
            f"/lbaas.v1.{method}",
            request_serializer=_serialized,
            response_deserializer=_parser(method),
        )
        try:
            return _json(run(message, timeout=timeout))
        except grpc.RpcError as error:
            raise self._refusal(error, request) from error

    def call_each(
        self, method: str, requests: Sequence[JsonObject], *, timeout: float
    ) -> list[JsonObject | None]:
        """Makes many calls at once and gives their answers in order, None for one that failed."""
        run = self._channel.unary_unary(
            f"/lbaas.v1.{method}",
            request_serializer=_serialized,
            response_deserializer=_parser(method),
        )
        calls = [run.future(message_of(method, each), timeout=timeout) for each in requests]
        return [None if call.exception() else _json(call.result()) for call in calls]

    def stream(
        self, method: str, request: JsonObject, *, timeout: float | None = None
    ) -> Iterator[JsonObject]:
        """Makes a streaming call and gives its answers as they come; closing it ends the call.

        After `timeout` seconds it fails with reason DEADLINE_EXCEEDED.

        Raises:
            CommandError: the call failed, at once or later.
        """
        message = message_of(method, request)
        run = self._channel.unary_stream(
            f"/lbaas.v1.{method}",
            request_serializer=_serialized,
            response_deserializer=_parser(method),
        )
        answers = run(message, timeout=timeout)
        try:
            for answer in answers:
                yield _json(answer)
        except grpc.RpcError as error:
            raise self._refusal(error, request) from error
        finally:
            answers.cancel()  # type: ignore[no-untyped-call]

    def _refusal(self, error: grpc.RpcError, request: JsonObject) -> CommandError:
        return refusal(
            error,
            server=self._server,
            command=self._command,
            request=request,
            options=self._options,
        )


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def _parser(method: str) -> Callable[[bytes], Message]:
    output: Callable[[], Message] = GetMessageClass(descriptor(method).output_type)

    def parse(data: bytes) -> Message:
        message = output()
        message.ParseFromString(data)
        return message

    return parse


def _json(message: Message) -> JsonObject:
    found: JsonObject = json_format.MessageToDict(message)
    return found
