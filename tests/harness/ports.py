"""Free ports for processes that cannot be given port 0.

A port is bound, released and remembered. It comes from below the kernel's range for outgoing
connections, so that no client takes it between the release and the listener's own bind, and each
process starts its search at a place of its own.
"""

import os
import socket

_FIRST, _LAST = 20_000, 32_000
_given: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    """A port on `host` that nothing listens on and that this process was not given before."""
    span = _LAST - _FIRST
    start = (os.getpid() * 7919) % span
    for step in range(span):
        port = _FIRST + (start + step * 13) % span
        if port in _given or not _bindable(host, port):
            continue
        _given.add(port)
        return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST} on {host}")


def _bindable(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As Envoy does: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
