"""Network namespaces of a test's own, joined by veth pairs: traffic in them goes nowhere else."""

import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NUMBERS = itertools.count(1)
_C = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace by its name."""

    name: str

    @property
    def enter(self) -> tuple[str, ...]:
        """The words before a command that is to run in it."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *command: str) -> str:
        """Runs a command in it and gives what it printed; a failure shows what it said."""
        return _run(*self.enter, *command)

    def ip(self, *arguments: str) -> str:
        """Runs `ip` on it."""
        return _run("ip", "-n", self.name, *arguments)

    def sysctl(self, name: str, value: str) -> None:
        """Sets one of its own settings, `net/ipv4/ip_forward`."""
        with self.entered():
            (Path("/proc/sys") / name).write_text(value)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Puts this thread into it: a socket that is made meanwhile is in it for life.

        Nothing may be awaited meanwhile.
        """
        places = Path("/proc/thread-self/ns/net"), Path("/run/netns") / self.name
        with places[0].open() as home, places[1].open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())


@dataclass(frozen=True, slots=True)
class Link:
    """One end of a veth pair."""

    namespace: Namespace
    device: str

    def add(self, address: str) -> None:
        """Gives it an address, `10.77.0.1/24`, usable at once."""
        # Without nodad an address of IPv6 is tentative for a second.
        nodad = ("nodad",) if ":" in address else ()
        self.namespace.ip("address", "add", address, "dev", self.device, *nodad)

    def remove(self, address: str) -> None:
        """Takes an address away."""
        self.namespace.ip("address", "del", address, "dev", self.device)

    def up(self) -> None:
        """Switches it on."""
        self.namespace.ip("link", "set", self.device, "up")

    def down(self) -> None:
        """Switches it off: both ends have no carrier."""
        self.namespace.ip("link", "set", self.device, "down")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new namespace with its loopback up; it goes, with the links in it, at the end."""
    made = Namespace(f"tidegate-{os.getpid()}-{next(_NUMBERS)}")
    _run("ip", "netns", "add", made.name)
    try:
        made.ip("link", "set", "lo", "up")
        yield made
    finally:
        _run("ip", "netns", "del", made.name)


def join(one: Namespace, other: Namespace) -> tuple[Link, Link]:
    """Joins two namespaces by a veth pair, both ends up; it goes with either of them."""
    number = next(_NUMBERS)
    ends = Link(one, f"tg{number}a"), Link(other, f"tg{number}b")
    peer = ("peer", "name", ends[1].device, "netns", other.name)
    one.ip("link", "add", ends[0].device, "type", "veth", *peer)
    for end in ends:
        end.up()
    return ends


def _enter(namespace: int) -> None:
    # os.setns came with Python 3.12.
    if _C.setns(namespace, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout
