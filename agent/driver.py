"""What the agent needs of whatever runs its Envoy: a process, a container, or somebody else."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAddress:
    """Where an Envoy's admin interface listens: a unix socket (`path`), or `host` and `port`."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `unix:/path`, `/path`, `host:port` or `[host]:port`.

        Raises:
            ValueError: it is none of them.
        """
        path = text.removeprefix("unix:")
        if path.startswith("/"):
            return cls(path=Path(path))
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(
                f"not the address of an admin interface: {text!r}; "
                "write host:port, or unix:/path for a unix socket"
            )
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DriverError(Exception):
    """A driver cannot do what it is asked, in words for the operator. It may be tried again."""


class TakenError(DriverError):
    """Another agent runs this node's Envoy: two would end each other's reports, for ever."""


class Driver(Protocol):
    """Runs one Envoy. `agent.supervise` starts it again when it ended; a driver never does.

    Its methods are called by one task, one after the other, but for `stop`, which may come while
    another one waits: that task is cancelled before.
    """

    name: str
    """What the agent calls it in its hello: `process`, `container` or `none`."""

    admin: AdminAddress
    """Where the Envoy's admin interface is, known before it runs."""

    async def start(self) -> None:
        """Starts the Envoy, or adopts the one that an earlier agent has left running.

        It returns when there is a process or container; its admin may not answer yet.

        Raises:
            TakenError: another agent runs it.
            DriverError: it cannot be started: no such binary or image, say.
        """
        ...

    async def wait_ended(self) -> int | None:
        """Waits for the end of the Envoy and gives its exit code, negative for a signal's number.

        None where nobody can tell it, of one that was adopted.

        Raises:
            DriverError: it cannot be watched: what runs containers does not answer, say.
        """
        ...

    def leave(self) -> None:
        """Lets go of the Envoy without ending it; the next agent's `start` adopts it."""
        ...

    async def stop(self, *, drain: timedelta) -> None:
        """Ends the Envoy, and returns when it has ended; nothing happens if none runs.

        It first takes no new connections and lets the old ones end, for `drain` at most
        (`agent.draining.drain` does that over admin for any driver).

        Raises:
            DriverError: it may still run.
        """
        ...
