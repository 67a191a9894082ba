"""One container in an engine that speaks Docker's API: Docker, or podman's service.

Everything here blocks and belongs into a thread; `agent.container` puts it there.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import docker
import requests
import structlog
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.types import Ulimit

from agent.driver import DriverError

log = structlog.get_logger("agent.envoy")

_RUNNING: Final = ("running", "paused", "restarting")
_SIGNALLED: Final = 128
"""An exit code above it is that of a process which a signal has ended, by Docker's convention."""

_KILL_AFTER: Final = 5
"""Seconds from SIGTERM to SIGKILL. Envoy closes all at once: 0.1 s were measured."""

_LAST_LINES: Final = 3
_PAUSE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What a container is made of.

    `mounts` are folders of the host, seen at the same path inside. `open_files` is the ulimit, soft
    and hard; 0: the engine's own.
    """

    name: str
    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    mounts: tuple[str, ...]
    open_files: int


class Engine:
    """A connection to the engine; `open` it.

    Raises (every method):
        DriverError: the engine cannot be reached or refuses, in words for the operator.
    """

    def __init__(self, client: docker.DockerClient, address: str) -> None:
        self._client = client
        self._address = address

    @classmethod
    def open(cls, address: str) -> Self:
        """Connects to `unix:///path` or `tcp://host:port`; "": where DOCKER_HOST says."""
        with _told(address):
            client = docker.DockerClient(base_url=address) if address else docker.from_env()
        return cls(client, address)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def find(self, name: str) -> Container | None:
        """Gives the container of that name, running or not; None if there is none."""
        with _told(self._address):
            try:
                return self._client.containers.get(name)
            except NotFound:
                return None

    def create(self, spec: ContainerSpec) -> Container:
        """Makes and starts a container on the host's network.

        It has no capability but to bind ports below 1024, and a file system it cannot write to.
        """
        with _told(self._address):
            try:
                made = self._client.containers.create(
                    spec.image,
                    name=spec.name,
                    entrypoint=["envoy"],
                    command=list(spec.command),
                    labels=dict(spec.labels),
                    # VIPs are bound where clients reach them, on the host's own addresses.
                    network_mode="host",
                    volumes={path: {"bind": path, "mode": "rw"} for path in spec.mounts},
                    cap_drop=["ALL"],
                    cap_add=["NET_BIND_SERVICE"],
                    security_opt=["no-new-privileges"],
                    read_only=True,
                    ulimits=_limits(spec.open_files),
                )
            except ImageNotFound as error:
                raise DriverError(
                    f"there is no image {spec.image!r}: build it (deploy/envoy/README.md tells"
                    " how) or pull it, or name another; it is not pulled by itself"
                ) from error
            try:
                made.start()
            except APIError:
                with contextlib.suppress(APIError):
                    made.remove(force=True)
                raise
            return made

    def wait(self, container: Container, *, within: float) -> bool:
        """Waits for the container's end, `within` seconds at most; gives whether it runs no more.

        One that somebody has removed runs no more.
        """
        try:
            container.wait(timeout=within)
        except (requests.RequestException, APIError):
            # The time is over (docker shows that as a broken connection), or something is wrong:
            # what it is, the look at the container tells. Never a look right after the other.
            time.sleep(_PAUSE)
        return not self.runs(container)

    def runs(self, container: Container) -> bool:
        """Gives whether the container runs, by a fresh look at it."""
        with _told(self._address):
            try:
                container.reload()
            except NotFound:
                return False
            return container.status in _RUNNING

    def end(self, container: Container) -> None:
        """SIGTERM, SIGKILL if that does not help, and away with the container."""
        with _told(self._address), contextlib.suppress(NotFound):
            container.stop(timeout=_KILL_AFTER)
            container.remove(force=True)

    def remove(self, container: Container) -> None:
        """Removes a container that runs no more."""
        with _told(self._address), contextlib.suppress(NotFound):
            container.remove(force=True)

    def exit_code(self, container: Container) -> int | None:
        """Gives how a container ended, negative for a signal's number; None if it was removed."""
        with _told(self._address):
            try:
                container.reload()
            except NotFound:
                return None
            state = container.attrs["State"]
        if state.get("OOMKilled"):
            log.error("envoy was ended: its container was out of memory", name=container.name)
        code = int(state["ExitCode"])
        return _SIGNALLED - code if code > _SIGNALLED else code

    def last_words(self, container: Container) -> Sequence[str]:
        """Gives the last lines of the container's log; none if it cannot be read."""
        try:
            said = container.logs(tail=_LAST_LINES)
        except (DockerException, requests.RequestException):
            return ()
        return tuple(said.decode(errors="replace").splitlines())


def _limits(open_files: int) -> list[Ulimit]:
    return [Ulimit(name="nofile", soft=open_files, hard=open_files)] if open_files else []


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Says what failed in words for the operator: docker's own are wrapped three times."""
    where = address or "DOCKER_HOST, or /var/run/docker.sock"
    try:
        yield
    except APIError as error:
        raise DriverError(f"the container engine refuses: {error.explanation or error}") from error
    except (DockerException, requests.RequestException) as error:
        raise DriverError(
            f"the container engine cannot be reached ({where}): {_innermost(error)}; is it"
            " running, and may this user use it?"
        ) from error


def _innermost(error: BaseException) -> str:
    """Gives what the system said first: `No such file or directory`, say."""
    found = error
    while inner := found.__cause__ or found.__context__:
        found = inner
    return (isinstance(found, OSError) and found.strerror) or str(found)
