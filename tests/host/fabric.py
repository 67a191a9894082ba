"""A router in a namespace of its own, sites around it, and sockets of this process in them."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from tests.harness.http_client import Connection
from tests.harness.members import Member
from tests.host.netns import Link, Namespace, join, namespace

PORT = 8080
"""Where members listen."""


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace with one address, joined to the router alone.

    Attributes:
        namespace: its own.
        address: its own.
        cable: its end of the cable; `router` is the other one.
    """

    namespace: Namespace
    address: str
    cable: Link
    router: Link

    def leave(self) -> None:
        """Takes the address away: nobody answers for it."""
        self.cable.remove(f"{self.address}/24")

    def come_back(self) -> None:
        """Gives the address back, and the way home with it."""
        self.cable.add(f"{self.address}/24")
        self.way_home()

    def way_home(self) -> None:
        """Sends all that is not its own over the router."""
        gateway = self.address.rpartition(".")[0] + ".1"
        self.namespace.ip("route", "replace", "default", "via", gateway)

    def answers_pings(self, answers: bool) -> None:
        """Whether its kernel answers echo requests; everything else goes on."""
        self.namespace.sysctl("net/ipv4/icmp_echo_ignore_all", str(int(not answers)))

    def holds(self, addresses: str) -> None:
        """Takes all addresses of a CIDR for its own, as the nodes of an anycast fleet do."""
        self.namespace.ip("route", "add", "local", addresses, "dev", "lo")

    async def connect(self, address: str) -> Connection:
        """Opens a connection from here; `host:port`."""
        with self.namespace.entered():
            made = socket.socket()
        try:
            made.setblocking(False)
            host, _, port = address.rpartition(":")
            await asyncio.get_running_loop().sock_connect(made, (host, int(port)))
            return Connection(*await asyncio.open_connection(sock=made))
        except BaseException:
            made.close()
            raise


class Fabric:
    """Sites that reach each other over one router."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._sites = 0
        self.router = stack.enter_context(namespace())
        self.router.sysctl("net/ipv4/ip_forward", "1")
        # One address in two places: what comes from it may come from either.
        for which in ("all", "default"):
            self.router.sysctl(f"net/ipv4/conf/{which}/rp_filter", "0")

    @classmethod
    @contextmanager
    def made(cls) -> Iterator[Self]:
        """Makes one; everything goes at the end."""
        with ExitStack() as stack:
            yield cls(stack)

    def site(self) -> Site:
        """One more site."""
        self._sites += 1
        network = f"10.77.{self._sites}"
        space = self._stack.enter_context(namespace())
        near, far = join(self.router, space)
        near.add(f"{network}.1/24")
        made = Site(space, f"{network}.2", far, near)
        made.come_back()
        return made

    def send(self, addresses: str, site: Site, *, table: str = "main") -> None:
        """Routes addresses to a site, instead of to any other."""
        self.router.ip("route", "replace", addresses, "via", site.address, "table", table)


class FarMember(Member):
    """A member at a site."""

    def __init__(self, name: str, site: Site) -> None:
        super().__init__(name, site.address)
        self.site = site

    @classmethod
    async def at(cls, site: Site, name: str) -> Self:
        """One that listens on the site's address."""
        member = cls(name, site)
        await member.open(PORT)
        return member

    async def open(self, port: int = 0) -> Self:
        """Listens in the site's namespace."""
        with self.site.namespace.entered():
            made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((self.host, port))
        self._server = await asyncio.get_running_loop().create_server(
            self.protocol, sock=made, backlog=512
        )
        self.port = made.getsockname()[1]
        return self
