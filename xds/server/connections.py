"""Cutting a connection: gRPC for Python has no word for it.

A call ends for the server when its status has gone out. To a client that grants no more HTTP/2
window it never does, and as long as such a client answers pings, gRPC keeps the call, the response
that was being written and the connection (measured with grpcio 1.85; there is no cancel on the
server's side). So the socket itself is shut down; gRPC finds the connection broken and lets go.
"""

import contextlib
import ipaddress
import os
import socket
import stat
import struct
from pathlib import Path
from urllib.parse import unquote

_RESET = struct.pack("ii", 1, 0)
"""Linger for 0 s: what is not sent yet is dropped, or the kernel would keep it for minutes."""


def cut(peer: str) -> bool:
    """Breaks this process's TCP connection with a peer, and all streams on it.

    Args:
        peer: as gRPC names it: `ipv4:127.0.0.1:4711`, `ipv6:%5B::1%5D:4711`.

    Returns:
        Whether there was one. Peers on a unix socket have no names, and are not found.
    """
    wanted = _address(peer)
    if wanted is None:
        return False
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            number = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.socket(fileno=os.dup(number)) as own:
                if _peer_of(own) == wanted:
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    own.shutdown(socket.SHUT_RDWR)
                    return True
    return False


_Address = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]


def _address(peer: str) -> _Address | None:
    family, _, rest = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return None
    host, _, port = rest.rpartition(":")
    return _plain(host.strip("[]")), int(port)


def _peer_of(one: socket.socket) -> _Address | None:
    if one.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    host, port = one.getpeername()[:2]
    return _plain(host), port


def _plain(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Gives an address; an IPv4 client of an IPv6 socket is the IPv4 address that gRPC says."""
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
