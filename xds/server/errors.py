"""What the server refuses: the room's own errors.

XdsServerError
├── UnsafeAddress     an address beyond loopback without TLS
└── AddressNotBound   the address cannot be listened on
"""


class XdsServerError(Exception):
    """Whatever the xDS server refuses."""


class UnsafeAddress(XdsServerError, ValueError):
    """An address beyond loopback was asked for without TLS credentials."""


class AddressNotBound(XdsServerError, OSError):
    """The address cannot be listened on."""
