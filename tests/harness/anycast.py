"""The route to an address that two fleets have, moved as an operator's anycast would move it.

Two Envoys on one machine may listen on one address and port (SO_REUSEPORT, which Envoy sets). The
kernel then spreads new connections over both, and resets what one of them has not accepted yet
when it closes. Here a filter on the group of sockets decides which of them gets new connections;
it needs no privilege. (SO_ATTACH_REUSEPORT_CBPF: socket(7); Linux 4.5.)
"""

import ctypes
import socket
import struct
from typing import Self

_SO_ATTACH_REUSEPORT_CBPF = 51
_RETURN = 0x06  # BPF_RET | BPF_K: the index of the socket in the group


class Anycast:
    """Sends new connections to the first Envoy that listens, and after `move` to the second.

    Enter it before the first one listens. The group is a list in the order in which sockets came;
    where one goes the last takes its place. Ours is first in it and gives its place to the second
    Envoy by closing, so that the filter is right before and after the first one goes.
    """

    def __init__(self, port: int, *, address: str = "127.0.0.1") -> None:
        self._where = address, port
        self._ours = self._joined()
        _attach(self._ours, 1)

    def move(self) -> None:
        """Sends new connections to the second Envoy, which listens, as the first still does."""
        self._ours.close()
        self._ours = self._joined()
        _attach(self._ours, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ours.close()

    def _joined(self) -> socket.socket:
        joined = socket.socket()
        joined.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        joined.bind(self._where)
        joined.listen()
        return joined


def _attach(member: socket.socket, index: int) -> None:
    """Has the group of a socket give new connections to the socket at an index."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, index))
    program = struct.pack("HL", 1, ctypes.addressof(code))
    member.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)
