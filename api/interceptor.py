"""The one place where errors become answers, and bytes become messages or a refusal.

grpc.aio alone answers UNKNOWN with Python's exception text, for a servicer's exception as for
bytes that are no message (measured, grpcio 1.85). Every handler is therefore wrapped: a message
that cannot be read is INVALID_ARGUMENT, an exception is what `api.errors` says it is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import status_pb2

from api.errors import to_status
from lbaas.model.errors import InvalidArgument, Violation

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS_KEY = "grpc-status-details-bin"


if TYPE_CHECKING:
    # The stubs' generics; at run time the classes take no parameters.
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    Handler = grpc.RpcMethodHandler
    Interceptor = grpc.aio.ServerInterceptor


class Unreadable(NamedTuple):
    """Stands for a request whose bytes are not a message of the method's type."""

    problem: str


class _Handler(Handler):
    """A method with its errors and its bytes minded."""

    def __init__(self, inner: Handler) -> None:
        self.request_streaming = inner.request_streaming
        self.response_streaming = inner.response_streaming
        self.request_deserializer = _reading(inner.request_deserializer)
        self.response_serializer = _writing
        self.unary_unary = inner.unary_unary and _answering(inner.unary_unary)
        self.unary_stream = inner.unary_stream and _streaming(inner.unary_stream)
        self.stream_unary = inner.stream_unary and _answering(inner.stream_unary)
        self.stream_stream = inner.stream_stream and _streaming(inner.stream_stream)


class WrappingInterceptor(Interceptor):
    """Puts something around every method there is: once, however often it is called."""

    def __init__(
        self, wrap: Callable[[Handler, str], Handler], *, unknown: Callable[[], None] = lambda: None
    ) -> None:
        """Takes what wraps a method's handler, with its name, and who is told of a call of none."""
        self._wrap = wrap
        self._unknown = unknown
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Gives the method's handler, wrapped once and kept; None for an unknown method."""
        method = handler_call_details.method
        wrapped = self._wrapped.get(method)
        if wrapped is None:
            inner = await continuation(handler_call_details)
            if inner is None:
                self._unknown()
                return inner
            wrapped = self._wrapped[method] = self._wrap(inner, method)
        return wrapped


class ErrorInterceptor(WrappingInterceptor):
    """Maps every error of every method to a google.rpc.Status; lets no exception text out."""

    def __init__(self) -> None:
        """Takes nothing: all methods are alike."""
        super().__init__(lambda inner, _: _Handler(inner))


def _reading(deserialise: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if deserialise is None:
            return data
        try:
            return deserialise(data)
        except Exception:  # noqa: BLE001  whatever the parser raises, the bytes are at fault
            return Unreadable("the bytes are not a message of this method's request type")

    return read


def _writing(answer: Any) -> bytes:
    """Serialises with maps in order, so that a replayed answer is equal byte by byte."""
    if isinstance(answer, Message):
        return answer.SerializeToString(deterministic=True)
    return cast("bytes", answer)


def _answering(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    async def answer(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        try:
            _refuse_unreadable(request)
            return await behaviour(request, context)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  the outermost place: all become a status
            status = to_status(error)
        await _abort(context, status)
        return None

    return answer


def _streaming(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    """Writes the answers itself: one task, so a cancelled call closes its generator at once."""

    async def answers(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        try:
            _refuse_unreadable(request)
            requests = request if isinstance(request, Message) else _readable(request)
            answering = behaviour(requests, context)
            if not hasattr(answering, "__aiter__"):
                await answering  # such a method writes to the context, as gRPC's health does
                return
            async with aclosing(answering) as stream:
                async for each in stream:
                    await context.write(each)
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  the outermost place: all become a status
            status = to_status(error)
        else:
            return
        await _abort(context, status)

    return answers


async def _readable(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for each in requests:
        _refuse_unreadable(each)
        yield each


def _refuse_unreadable(request: Any) -> None:
    if isinstance(request, Unreadable):
        raise InvalidArgument(
            [Violation("", request.problem, "MALFORMED_MESSAGE")], reason="MALFORMED_MESSAGE"
        )


async def _abort(context: "grpc.aio.ServicerContext[Any, Any]", status: status_pb2.Status) -> None:
    """Ends the call. The details are binary metadata; gRPC percent-encodes the message itself."""
    await context.abort(
        _CODES[status.code],
        status.message,
        ((_DETAILS_KEY, status.SerializeToString(deterministic=True)),),
    )
