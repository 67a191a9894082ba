"""Rules for addresses: what a member or a VIP may be.

Envoy accepts unix sockets, its own admin port, the cloud's metadata service and more as members
(facts/faults, 4b): a tenant could then reach through Envoy what only the node should reach.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from lbaas.model.errors import Violation
from lbaas.model.rules.text import shown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_LONGEST = 64


@dataclass(frozen=True, slots=True)
class Refused:
    """A range that is refused, and what it is."""

    network: Network
    what: str


def _refused(what: str, *cidrs: str) -> tuple[Refused, ...]:
    return tuple(Refused(ip_network(cidr), what) for cidr in cidrs)


_NOWHERE = (
    *_refused("unspecified", "0.0.0.0/8", "::/128"),
    *_refused("multicast", "224.0.0.0/4", "ff00::/8"),
    *_refused("broadcast or reserved", "240.0.0.0/4"),
    *_refused("an IPv4 address written as IPv6", "::ffff:0:0/96"),
    *_refused(
        "a cloud's metadata service",
        "169.254.169.254/32",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
    ),
)
_MEMBER_REFUSED = (
    *_NOWHERE,
    *_refused("loopback", "127.0.0.0/8", "::1/128"),
    *_refused("link-local", "169.254.0.0/16", "fe80::/10"),
    *_refused("an IPv4 address written as IPv6", "::/96"),
)
# A VIP may be loopback (sidecars) or IPv4 link-local (a node's own service); IPv6 link-local
# addresses mean nothing without a scope.
_VIP_REFUSED = (*_NOWHERE, *_refused("link-local", "fe80::/10"))
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
# RFC 6052: the last 32 bits are an IPv4 address that a NAT64 gateway would connect to.
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which members' addresses are allowed beyond the ordinary ones.

    An allowed range lifts a refusal only if it lies inside the refused range: `127.0.0.0/8`
    (the demo's) lifts loopback, `169.254.7.0/24` lifts those link-local addresses, and
    `0.0.0.0/0` lifts nothing, so that no careless line in a configuration opens the metadata
    service or Envoy's own admin port.
    """

    allowed_ranges: tuple[Network, ...] = ()

    @classmethod
    def of(cls, *cidrs: str) -> "AddressPolicy":
        """Gives the policy that allows these CIDRs; ValueError if one is none."""
        return cls(tuple(ip_network(cidr) for cidr in cidrs))

    def lifts(self, refused: Refused, address: Address) -> bool:
        """Tells whether the operator allows this address of a refused range."""
        return any(
            address in allowed and _inside(allowed, refused.network)
            for allowed in self.allowed_ranges
        )


STRICT = AddressPolicy()
"""Nothing beyond ordinary addresses."""


def check_member_address(
    field: str, text: str, *, policy: AddressPolicy = STRICT
) -> tuple[Violation, ...]:
    """Checks the address of a member: a literal, ordinary, and not the node's own."""
    address = _parse(text)
    if isinstance(address, str):
        return (_invalid(field, text, problem=address),)
    effective = _behind_nat64(address)
    for refused in _covering(effective, _MEMBER_REFUSED):
        # Asked with the address as written: to allow 10.0.0.0/8 is not to allow it behind NAT64.
        if not policy.lifts(refused, address):
            return (
                Violation(
                    field,
                    f"{text} is {refused.what}: use the member's own unicast address, or ask"
                    " the operator to allow the range",
                    "ADDRESS_NOT_ALLOWED",
                ),
            )
    return ()


def check_vip_address(field: str, text: str) -> tuple[Violation, ...]:
    """Checks the address of a VIP; empty is fine: one is allocated from the fleet's ranges."""
    if not text:
        return ()
    address = _parse(text)
    if isinstance(address, str):
        return (_invalid(field, text, problem=address),)
    for refused in _covering(address, _VIP_REFUSED):
        return (
            Violation(
                field,
                f"{text} is {refused.what}: use a unicast address of the fleet's VIP ranges, or"
                " leave it empty to be given one",
                "ADDRESS_NOT_ALLOWED",
            ),
        )
    return ()


def check_vip_ranges(
    field: str, cidrs: Sequence[str], *, loopback_only: bool
) -> tuple[Violation, ...]:
    """Checks a fleet's VIP ranges: CIDRs that can hold VIPs and do not overlap."""
    found: list[Violation] = []
    seen: list[tuple[int, Network]] = []
    for index, cidr in enumerate(cidrs):
        path = f"{field}[{index}]"
        network = _parse_network(cidr)
        if isinstance(network, str):
            found.append(Violation(path, f"{shown(cidr)} {network}", "INVALID_CIDR"))
            continue
        found += _check_range(path, network, loopback_only=loopback_only)
        found += [
            Violation(
                path,
                f"{cidr} overlaps {field}[{other}] {cidrs[other]}; keep one of them",
                "OVERLAP",
            )
            for other, earlier in seen
            if _overlap(network, earlier)
        ]
        seen.append((index, network))
    return tuple(found)


def in_ranges(address: str, cidrs: Iterable[str]) -> bool:
    """Tells whether one of the (valid) CIDRs holds the (valid) address."""
    parsed = ip_address(address)
    return any(parsed in ip_network(cidr) for cidr in cidrs)


def is_loopback(address: str) -> bool:
    """Tells whether a (valid) address is the node's own: 127.0.0.0/8 or ::1."""
    parsed = ip_address(address)
    return any(parsed in network for network in _LOOPBACK)


def _check_range(field: str, network: Network, *, loopback_only: bool) -> list[Violation]:
    if loopback_only and not any(_inside(network, each) for each in _LOOPBACK):
        return [
            Violation(
                field,
                f"{network} is not loopback: sidecars bind 127.0.0.0/8 or ::1/128 only",
                "ADDRESS_NOT_ALLOWED",
            )
        ]
    for refused in _VIP_REFUSED:
        # A single refused address inside a wide range is not worth a refusal: it is never given.
        if _inside(network, refused.network) or (
            refused.network.prefixlen < refused.network.max_prefixlen
            and _overlap(network, refused.network)
        ):
            return [
                Violation(
                    field,
                    f"{network} holds {refused.network}, which is {refused.what}: give ranges of"
                    " unicast addresses",
                    "ADDRESS_NOT_ALLOWED",
                )
            ]
    return []


def _parse(text: str) -> Address | str:
    """Gives the address, or what to do about it."""
    if len(text) > _LONGEST:
        return "use a numeric IPv4 or IPv6 address"
    if "%" in text:
        return "scoped addresses are refused; leave out '%' and what follows"
    try:
        address = ip_address(text)
    except ValueError:
        return _why_not(text)
    # One spelling per address, or two VIPs could hold one address without anybody noticing.
    if str(address) != text and not (isinstance(address, IPv6Address) and address.ipv4_mapped):
        return f"write it as {address}"
    return address


def _why_not(text: str) -> str:
    parts = text.split(".")
    if len(parts) == 4 and all(part.isascii() and part.isdigit() for part in parts):  # noqa: PLR2004
        if any(len(part) > 1 and part.startswith("0") for part in parts):
            return "write it without leading zeros: some programs read them as octal"
        return "each part of an IPv4 address is 0 to 255"
    if not text:
        return "give the IPv4 or IPv6 address"
    return "use a numeric IPv4 or IPv6 address; names, ports and unix sockets are refused"


def _parse_network(text: str) -> Network | str:
    problem = "is not a CIDR: write it like 203.0.113.0/24 or 2001:db8::/64"
    if len(text) > _LONGEST or "%" in text or "/" not in text:
        return problem
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return problem
    return network if str(network) == text else f"has more than the range: write it as {network}"


def _behind_nat64(address: Address) -> Address:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _covering(address: Address, refused: Iterable[Refused]) -> tuple[Refused, ...]:
    return tuple(each for each in refused if address in each.network)


def _inside(small: Network, large: Network) -> bool:
    if isinstance(small, IPv4Network):
        return isinstance(large, IPv4Network) and small.subnet_of(large)
    return isinstance(large, IPv6Network) and small.subnet_of(large)


def _overlap(one: Network, other: Network) -> bool:
    return _inside(one, other) or _inside(other, one)


def _invalid(field: str, text: str, *, problem: str) -> Violation:
    return Violation(field, f"{shown(text)} is not an address: {problem}", "INVALID_ADDRESS")
