"""Calls, counted and timed as they end, for whoever keeps the metrics."""

import time
from collections.abc import Callable
from typing import Any, Protocol

import grpc
import grpc.aio

from api.interceptor import Handler, WrappingInterceptor

UNKNOWN = "unknown"
"""The method of every call of a method that there is not: a client may name anything."""

_PACKAGE = "/lbaas.v1."
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


class CallObserver(Protocol):
    """Who is told of every call when it has ended."""

    def __call__(self, method: str, code: str, seconds: float | None, /) -> None:
        """Takes a call: `PoolService/CreatePool`, `OK`; None for streams, which have no length."""


class CallInterceptor(WrappingInterceptor):
    """Tells an observer of every call. To be the first one: it sees what the others make of it."""

    def __init__(self, observe: CallObserver) -> None:
        """Takes who is told."""
        super().__init__(
            lambda inner, method: _Timed(inner, _named(method), observe),
            unknown=lambda: observe(UNKNOWN, grpc.StatusCode.UNIMPLEMENTED.name, None),
        )


class _Timed(Handler):
    """A method whose calls are told of."""

    def __init__(self, inner: Handler, method: str, observe: CallObserver) -> None:
        self.request_streaming = inner.request_streaming
        self.response_streaming = inner.response_streaming
        self.request_deserializer = inner.request_deserializer
        self.response_serializer = inner.response_serializer
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            behaviour = getattr(inner, kind)
            timed = kind == "unary_unary"
            wrapped = behaviour and _told(behaviour, method, observe, timed=timed)
            setattr(self, kind, wrapped)


def _told(
    behaviour: Callable[..., Any], method: str, observe: CallObserver, *, timed: bool
) -> Callable[..., Any]:
    async def call(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> Any:
        began = time.perf_counter()
        code = grpc.StatusCode.CANCELLED.name
        try:
            answer = await behaviour(request, context)
            code = _code(context)
        except grpc.aio.AbortError:
            code = _code(context)
            raise
        finally:
            observe(method, code, time.perf_counter() - began if timed else None)
        return answer

    return call


def _code(context: "grpc.aio.ServicerContext[Any, Any]") -> str:
    """Gives the name of the status that a call ends with."""
    code: Any = context.code()  # an enum's member after an abort, else a number (grpcio 1.85)
    return code.name if isinstance(code, grpc.StatusCode) else _CODES.get(code or 0, "UNKNOWN")


def _named(method: str) -> str:
    """Gives a method's name for people: the API's own without their package."""
    return method.removeprefix(_PACKAGE) if method.startswith(_PACKAGE) else method.lstrip("/")
