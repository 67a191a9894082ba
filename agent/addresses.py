"""Members' addresses in one spelling: the API's and Envoy's may differ for IPv6."""

from ipaddress import ip_address
from typing import TypeAlias

Endpoint: TypeAlias = tuple[str, int]
"""An IP address in Python's spelling, and a port."""


def endpoint(address: str, port: int) -> Endpoint:
    """Gives an address and port in the one spelling; what is no IP address stays as it is."""
    if ":" not in address:
        return address, port
    try:
        return str(ip_address(address)), port
    except ValueError:
        return address, port
