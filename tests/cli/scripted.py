"""An API that answers as a test tells it to, and remembers what it was asked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from grpc_status import rpc_status

from tidegate.cli.client import descriptor
from tidegate.cli.json_value import JsonObject


@dataclass
class Refusal:
    """An error to answer with."""

    code: grpc.StatusCode
    message: str
    details: tuple[Message, ...] = ()


@dataclass
class ScriptedApi(grpc.GenericRpcHandler):
    """Answers by method; the last answer of a method is repeated."""

    answers: dict[str, list[JsonObject | Refusal]] = field(default_factory=dict)
    asked: list[tuple[str, JsonObject]] = field(default_factory=list)
    address: str = ""

    def answer(self, method: str, *answers: JsonObject | Refusal) -> None:
        self.answers[method] = list(answers)

    def requests(self, method: str) -> list[JsonObject]:
        return [request for asked, request in self.asked if asked == method]

    def service(self, handler_call_details):
        method = handler_call_details.method.removeprefix("/lbaas.v1.")
        about = descriptor(method)
        make = grpc.unary_unary_rpc_method_handler
        run = self._one
        if about.server_streaming:
            make, run = grpc.unary_stream_rpc_method_handler, self._stream
        return make(
            lambda request, context: run(method, request, context),
            request_deserializer=GetMessageClass(about.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _one(self, method, request, context):
        self.asked.append((method, json_format.MessageToDict(request)))
        script = self.answers.get(method)
        if not script:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the test has no answer to {method}")
        answer = script.pop(0) if len(script) > 1 else script[0]
        return self._made(method, answer, context)

    def _stream(self, method, request, context):
        self.asked.append((method, json_format.MessageToDict(request)))
        for answer in self.answers[method]:
            yield self._made(method, answer, context)

    @staticmethod
    def _made(method, answer, context):
        if isinstance(answer, Refusal):
            status = status_pb2.Status(code=answer.code.value[0], message=answer.message)
            for detail in answer.details:
                packed = any_pb2.Any()
                packed.Pack(detail)
                status.details.append(packed)
            context.abort_with_status(rpc_status.to_status(status))
        return json_format.ParseDict(answer, GetMessageClass(descriptor(method).output_type)())


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """Gives a scripted API that listens on a free port."""
    api = ScriptedApi()
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[api])
        api.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield api
        finally:
            server.stop(None).wait()
