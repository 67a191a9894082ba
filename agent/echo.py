"""ICMP echo over one socket per address family, whatever the number of addresses.

icmplib makes and reads the packets. Its own `async_ping` opens a socket per address, and each raw
socket is handed every answer that comes to the host: with n addresses n * n packets are read.
"""

import asyncio
import itertools
import os
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from icmplib import (
    ICMPError,
    ICMPLibError,
    ICMPReply,
    ICMPRequest,
    ICMPv4Socket,
    ICMPv6Socket,
    SocketPermissionError,
)

Address = IPv4Address | IPv6Address

_IPV4_ANSWERS: Final = (0, 3, 11)
"""Echo reply, destination unreachable, time exceeded: of RFC 792, what may answer a request."""
_IPV6_ANSWERS: Final = (129, 1, 3)
"""The same of RFC 4443."""
_SOL_RAW: Final = 255
_ICMP_FILTER: Final = 1
_ICMP6_FILTER: Final = 1
_BUFFER: Final = 1 << 20
_READ_WITHIN: Final = 0.001
"""How long a read may last, in seconds: it begins when there is something to read."""
_SEQUENCES: Final = 1 << 16


class NoAnswer(Exception):
    """An echo request that was not answered; its text tells why, for people."""


def refusal() -> str:
    """Gives why this process cannot send echo requests and what to do, "" if it can.

    It opens the socket that would be used, and closes it again.
    """
    try:
        _open(ICMPv4Socket).close()
    except SocketPermissionError:
        return (
            "opening an ICMP socket is not permitted: give the agent CAP_NET_RAW, or its group"
            " a place in net.ipv4.ping_group_range"
        )
    except ICMPLibError as error:
        return f"an ICMP socket cannot be opened: {_why(error)}"
    return ""


class EchoSocket:
    """Sends echo requests of one address family and matches what comes back.

    Make and use it inside a running event loop; close it at the end.

    Raises:
        ICMPLibError: the socket cannot be opened; `refusal()` tells why in words.
    """

    def __init__(self, version: int) -> None:
        self._socket = _open(ICMPv6Socket if version == 6 else ICMPv4Socket)  # noqa: PLR2004
        _filter(self._socket)
        # As much as the system gives: the answers of many come at once.
        self._socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        # Other agents on the host see our answers as we see theirs.
        self._id = int.from_bytes(os.urandom(2))
        self._sequences = itertools.count(int.from_bytes(os.urandom(2)))
        self._waiting: dict[int, tuple[Address, asyncio.Future[ICMPReply]]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.sock, self._read)

    def close(self) -> None:
        """Closes the socket; what still waits is never answered."""
        self._loop.remove_reader(self._socket.sock)
        self._socket.close()

    async def ask(self, address: Address, *, within: float) -> None:
        """Sends one echo request and returns when it is answered.

        Args:
            address: whom to ask; of the socket's family.
            within: how long to wait, in seconds.

        Raises:
            NoAnswer: none came in time, a router said that none will, or nothing could be sent.
        """
        sequence = self._unused()
        request = ICMPRequest(destination=str(address), id=self._id, sequence=sequence)
        try:
            self._socket.send(request)
        except ICMPLibError as error:
            raise NoAnswer(_why(error)) from error
        # The kernel gives an unprivileged socket an id of its own choice.
        self._id = request.id
        future: asyncio.Future[ICMPReply] = self._loop.create_future()
        self._waiting[sequence] = address, future
        try:
            # Unlike asyncio.timeout, this sees an answer that came while the loop was late.
            await asyncio.wait((future,), timeout=within)
            if not future.done():
                raise NoAnswer(f"no answer in {within:g} s")
            future.result().raise_for_status()
        except ICMPError as error:
            # `Destination host unreachable`, say; which destination everybody knows.
            words = str(error).removeprefix("Destination ")
            raise NoAnswer(words[:1].lower() + words[1:]) from error
        finally:
            del self._waiting[sequence]

    def _unused(self) -> int:
        """Gives a sequence number that no request in flight has."""
        for number in itertools.islice(self._sequences, _SEQUENCES):
            if number % _SEQUENCES not in self._waiting:
                return number % _SEQUENCES
        raise NoAnswer(f"{_SEQUENCES:,} echo requests wait for an answer: no more can be sent")

    def _read(self) -> None:
        try:
            reply = self._socket.receive(timeout=_READ_WITHIN)
        except ICMPLibError:
            # Nothing that can be read after all, or an error of the route to one address: it
            # tells not which, and its request ends by its time.
            return
        address, future = self._waiting.get(reply.sequence, (None, None))
        if reply.id != self._id or future is None or future.done():
            return
        # Routers send errors in their own name; an answer comes from whom was asked.
        answers = reply.type in (_IPV4_ANSWERS[0], _IPV6_ANSWERS[0])
        if answers and ip_address(reply.source.partition("%")[0]) != address:
            return
        future.set_result(reply)


def _open(family: type[ICMPv4Socket] | type[ICMPv6Socket]) -> ICMPv4Socket | ICMPv6Socket:
    """Opens a raw socket, or an unprivileged one (ping_group_range) where that is not permitted."""
    try:
        return family(privileged=True)
    except SocketPermissionError:
        return family(privileged=False)


def _filter(opened: ICMPv4Socket | ICMPv6Socket) -> None:
    """Has the kernel hold back what answers no request: raw sockets are handed all ICMP."""
    if sys.platform != "linux" or not opened.is_privileged:
        return
    if opened.sock.family == socket.AF_INET6:
        opened.sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, _blocking(_IPV6_ANSWERS, 8))
    else:
        opened.sock.setsockopt(_SOL_RAW, _ICMP_FILTER, _blocking(_IPV4_ANSWERS, 1))


def _blocking(passed: Sequence[int], words: int) -> bytes:
    """Gives the kernel's icmp_filter: a bit for each type, in 32-bit words; a set bit blocks."""
    masks = [0xFFFFFFFF] * words
    for kind in passed:
        masks[kind // 32] &= ~(1 << kind % 32)
    return struct.pack(f"={words}I", *masks)


def _why(error: ICMPLibError) -> str:
    """Gives what the system said, in lower case; icmplib keeps it as the error's context."""
    said = error.__context__
    if isinstance(said, PermissionError):
        return "sending was not permitted: is there a firewall on the node?"
    if isinstance(said, OSError) and said.strerror:
        return said.strerror.lower()
    return str(error)
