"""An xDS client that sends its first request and then reads nothing, not even from its socket.

HTTP/2 by hand: every library reads what the kernel has, for flow control's sake. This one grants
all the window there is, so that only TCP holds the server back.
"""

import socket
import struct

from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x8
_ACK = _END_STREAM = 0x1
_END_HEADERS = 0x4
_MOST = 2**31 - 1
_PATH = b"/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


def frame(kind: int, payload: bytes, *, flags: int = 0, stream: int = 0) -> bytes:
    """One frame of HTTP/2."""
    return (
        struct.pack(">I", len(payload))[1:]
        + bytes((kind, flags))
        + struct.pack(">I", stream)
        + payload
    )


def _headers() -> bytes:
    """HPACK without a dynamic table and without Huffman's code (RFC 7541)."""

    def value(text: bytes) -> bytes:
        assert len(text) < 127
        return bytes((len(text),)) + text

    return b"".join(
        (
            b"\x83\x86",  # :method POST, :scheme http
            b"\x04" + value(_PATH),
            b"\x01" + value(b"test"),  # :authority
            b"\x0f\x10" + value(b"application/grpc"),  # content-type
            b"\x00" + value(b"te") + value(b"trailers"),
        )
    )


GREETING = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(_SETTINGS, struct.pack(">HI", 0x4, _MOST))  # the window of each stream
    + frame(_WINDOW_UPDATE, struct.pack(">I", _MOST - 65_535))
    + frame(_HEADERS, _headers(), flags=_END_HEADERS, stream=1)
)
"""What opens a connection with one stream on it, and grants all the window that there can be."""


def open_stuck(
    port: int, type_url: str, *, fleet: str = "fleet", node: str = "stuck"
) -> socket.socket:
    """Opens a delta stream, subscribes to a type, and reads no more.

    Args:
        port: the server's, on loopback.
        type_url: what it subscribes to, as a wildcard.
        fleet: the node's.
        node: its id.

    Returns:
        Its socket.
    """
    request = DeltaDiscoveryRequest(node=Node(id=node, cluster=fleet), type_url=type_url)
    message = request.SerializeToString()
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    data = b"\0" + struct.pack(">I", len(message)) + message
    one.sendall(GREETING + frame(_SETTINGS, b"", flags=_ACK) + frame(_DATA, data, stream=1))
    return one


def is_cut(one: socket.socket) -> bool:
    """Whether the server has closed the connection; reads what came until then."""
    one.setblocking(False)
    try:
        while one.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True
