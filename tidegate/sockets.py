"""Addresses to listen on: what is wrong with one, and whether a unix socket is taken.

Measured, grpcio 1.85: binding removes whatever socket is at the path, so a second server would take
the first one's clients away in silence; a socket that a dead process has left is removed as well,
as it should be.
"""

import socket

from lbaas.model.errors import FailedPrecondition

UNIX = "unix:"
LAST_PORT = 65535
LONGEST_PATH = 107
"""Bytes of a socket's path: `sun_path` of Linux has 108, the last of them a zero."""


def fault(address: str) -> str:
    """Gives what is wrong with `host:port` or `unix:/path` as it is written; "" for nothing."""
    path = address.removeprefix(UNIX)
    if path == address:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            return "write HOST:PORT or unix:/PATH"
        if int(port) > LAST_PORT:
            # grpcio 1.85 takes 99999 for 34463.
            return f"there is no port {port}: they end at {LAST_PORT}"
        return ""
    if not path.startswith("/"):
        return "write unix:/PATH, with the whole path"
    if len(path.encode()) > LONGEST_PATH:
        return f"the socket's path is longer than {LONGEST_PATH} bytes"
    return ""


def refuse_taken(address: str) -> None:
    """Refuses the address of a unix socket on which somebody listens; others are the binder's.

    Raises:
        FailedPrecondition: somebody listens there.
    """
    if not address.startswith(UNIX):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(address.removeprefix(UNIX))
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return  # nothing there, or what a dead process has left
        except TimeoutError:
            pass  # it listens, and is too busy to answer
        except OSError:
            return  # no socket: binding will fail, and say so
    raise FailedPrecondition(
        f"cannot listen on {address!r}: a process that lives listens on this socket",
        reason="CANNOT_LISTEN",
        subject=address,
    )
