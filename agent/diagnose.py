"""Why a member fails a check, in words: Envoy tells only that it does.

The check is repeated once from beside the Envoy, as Envoy makes it (xds/translate/health_check.py).
"""

import asyncio
import errno
import functools
import re
import ssl
from ipaddress import ip_address
from typing import Final, NamedTuple

import h11

from lbaas.v1.enums_pb2 import HealthMonitorType
from lbaas.v1.health_monitor_pb2 import HealthMonitor

USER_AGENT: Final = "Tidegate/diagnose"
"""How members can tell these checks from Envoy's own (`Envoy/HC`)."""

DEFAULT_HOST: Final = "localhost"
"""The Host header where the monitor names none, as Envoy is told."""

_HTTP: Final = (HealthMonitorType.HTTP, HealthMonitorType.HTTPS)
_WORDS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
}
_WITH_BODY: Final = ("POST", "PUT", "PATCH")
"""Methods whose request has a body, if an empty one: Envoy sends `content-length: 0` too."""
_READ: Final = 1 << 16


class Finding(NamedTuple):
    """What a repeated check found: whether it passed, and if not, what it met, for people."""

    passed: bool
    cause: str = ""


async def cause(monitor: HealthMonitor, address: str, port: int) -> Finding:
    """Makes a monitor's check of a member once and gives what it met.

    It lasts `timeout` of the monitor at most. A member that recovered meanwhile passes. Causes are
    `HTTP 503, wanted 200`, `timeout after 2 s`, `connection refused`, `TLS handshake failed: ...`
    and the like.

    Args:
        monitor: of type TCP, HTTP or HTTPS; Envoy makes no other checks.
        address: the member's IP address.
        port: the member's port.

    Raises:
        ValueError: the monitor is of another type.
    """
    if monitor.type not in (HealthMonitorType.TCP, *_HTTP):
        raise ValueError(f"{monitor.name} is no check of Envoy's")
    timeout = monitor.timeout.ToTimedelta().total_seconds()
    try:
        async with asyncio.timeout(timeout):
            if monitor.type in _HTTP:
                return await _http(monitor, address, port)
            return await _tcp(address, port)
    except TimeoutError:
        return Finding(passed=False, cause=f"timeout after {timeout:g} s")


async def _tcp(address: str, port: int) -> Finding:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError as error:
        return Finding(passed=False, cause=_words(error))
    # No farewell is waited for: the connection is what was checked.
    writer.transport.abort()
    return Finding(passed=True)


async def _http(monitor: HealthMonitor, address: str, port: int) -> Finding:
    secure = monitor.type == HealthMonitorType.HTTPS
    try:
        reader, writer = await asyncio.open_connection(
            address,
            port,
            ssl=_any_certificate() if secure else None,
            # An address is not sent as a server name.
            server_hostname=_server_name(monitor.host) or address if secure else None,
        )
    except ssl.SSLError as error:
        return Finding(passed=False, cause=f"TLS handshake failed: {_tls_words(error)}")
    except OSError as error:
        # Who resets a connection accepted it before: a refusal has an error of its own.
        in_tls = secure and isinstance(error, ConnectionResetError)
        words = "TLS handshake failed: connection closed" if in_tls else _words(error)
        return Finding(passed=False, cause=words)
    try:
        status = await _status(_request(monitor), reader, writer)
    except OSError as error:
        return Finding(passed=False, cause=_words(error))
    except EOFError:
        return Finding(passed=False, cause="connection closed without an answer")
    except h11.RemoteProtocolError as error:
        return Finding(passed=False, cause=f"not an answer of HTTP: {error}")
    finally:
        writer.transport.abort()
    wanted = monitor.expected_codes or "200"
    if _expected(status, wanted):
        return Finding(passed=True)
    return Finding(passed=False, cause=f"HTTP {status}, wanted {wanted}")


def _request(monitor: HealthMonitor) -> h11.Request:
    method = monitor.http_method or "GET"
    headers = [
        ("host", monitor.host or DEFAULT_HOST),
        ("user-agent", USER_AGENT),
        ("connection", "close"),
    ]
    if method in _WITH_BODY:
        headers.append(("content-length", "0"))
    return h11.Request(method=method, target=monitor.url_path or "/", headers=headers)


async def _status(
    request: h11.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> int:
    """Sends the request and gives the status of the answer; what follows it is not read.

    Raises:
        OSError: the connection broke.
        EOFError: it ended without an answer.
        h11.RemoteProtocolError: what came is not HTTP.
    """
    http = h11.Connection(our_role=h11.CLIENT)
    for event in (request, h11.EndOfMessage()):
        writer.write(http.send(event) or b"")
    while True:
        answer = http.next_event()
        if isinstance(answer, h11.Response):
            return answer.status_code
        if answer is h11.NEED_DATA:
            data = await reader.read(_READ)
            if not data:
                raise EOFError
            http.receive_data(data)


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    """Gives TLS 1.2 and 1.3 without verification: it is the clients who verify a member."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _server_name(host: str) -> str:
    """Gives what TLS may name: the host without its port, nothing for an address (RFC 6066, 3)."""
    name = host if host.count(":") != 1 else host.partition(":")[0]
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return "" if "[" in name else name
    return ""


def _expected(status: int, codes: str) -> bool:
    """Tells whether the codes of a monitor (`200,202-204`) hold a status."""
    for part in codes.split(","):
        first, _, last = part.strip().partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False


def _words(error: OSError) -> str:
    """Gives the system's error in words."""
    known = _WORDS.get(error.errno or 0)
    return known or (error.strerror or str(error)).lower()


def _tls_words(error: ssl.SSLError) -> str:
    """Gives OpenSSL's words alone, of `[SSL: WRONG_VERSION_NUMBER] wrong ... (_ssl.c:1006)`."""
    if isinstance(error, ssl.SSLEOFError):
        return "connection closed"
    return re.sub(r"^\[[^]]*\] *| *\(_ssl\.c:\d+\)$", "", str(error.strerror or error))
