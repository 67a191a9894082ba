"""The driver that runs Envoy as a container, and adopts the one it finds running."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog
from docker.models.containers import Container

from agent.admin import Admin, AdminSilentError
from agent.draining import drain as drain_envoy
from agent.driver import AdminAddress, DriverError
from agent.engine import ContainerSpec, Engine
from agent.node_bootstrap import with_admin
from agent.process_folder import ProcessFolder
from agent.readings import DRAINING, server_reading

log = structlog.get_logger("agent.envoy")

IMAGE: Final = "tidegate-node"
"""The image of `deploy/envoy/Containerfile.node`."""

NODE_LABEL: Final = "dev.tidegate.node"
"""`fleets/{fleet}/nodes/{node}`: whose container it is."""
FOLDER_LABEL: Final = "dev.tidegate.folder"
"""The work folder on the host."""
SPEC_LABEL: Final = "dev.tidegate.spec"
"""A digest of everything that the container was made of, its bootstrap included."""

OPEN_FILES: Final = 131_072
"""Twice the connections that a bootstrap allows, and room; what engines give may be 1,024."""

_LOOK_EVERY: Final = 2.0
"""Seconds that a thread waits for the container's end at a time: so late it may end after us."""


class ContainerDriver:
    """Runs one Envoy as a container on the host's network.

    The container outlives the agent if that is killed; the next agent on the same folder adopts
    it. It is known by its name, `tidegate-{fleet}-{node}`, and must bear our labels: a container
    of that name without them is never touched, nor is any other.

    The folder has `bootstrap.json` and `admin.sock` (0600, owned by root inside: run the agent as
    root, or the engine as the agent's user), and is seen at the same path inside. Envoy logs to
    the engine. Nothing is pulled, and the engine restarts nothing: the supervisor does. Whether
    Envoy is well the agent asks Envoy; an image needs no program for that.

    Args:
        folder: the work folder; it is made, 0700, if it is not there. One per node.
        bootstrap: Envoy's bootstrap in JSON. Its admin address is replaced by the folder's socket.
        arguments: Envoy's command line beside the bootstrap: the drain time, say.
        image: an image with `envoy` on its path.
        engine: `unix:///path` or `tcp://host:port` of the engine; "": where DOCKER_HOST says.
        open_files: how many files and connections Envoy may have open; 0: what the engine gives.

    Raises:
        ValueError: the bootstrap is not JSON or names no node, or the folder's path is too long
            for a socket.
    """

    name = "container"

    def __init__(
        self,
        folder: Path,
        *,
        bootstrap: str,
        arguments: Sequence[str] = (),
        image: str = IMAGE,
        engine: str = "",
        open_files: int = OPEN_FILES,
    ) -> None:
        self._folder = ProcessFolder(folder)
        self._bootstrap = with_admin(bootstrap, self._folder.admin)
        self._address = engine
        self._engine: Engine | None = None
        self._container: Container | None = None
        self._spec = self._specified(image, tuple(arguments), open_files)
        # A call whose task was cancelled goes on in its thread: the next one waits for its end.
        self._calls = threading.Lock()
        self.admin = AdminAddress(path=self._folder.admin)

    @property
    def container(self) -> str:
        """The name of the container."""
        return self._spec.name

    async def start(self) -> None:
        """Starts the container, or adopts the one that runs.

        Raises:
            TakenError: another agent has the folder.
            DriverError: the container's name is somebody else's, there is no such image, or the
                engine cannot be reached.
        """
        try:
            self._folder.take()
        except OSError as error:
            raise DriverError(f"envoy cannot be started: {error}") from error
        if not await asyncio.to_thread(self._adopt):
            await asyncio.to_thread(self._launch)
        elif await self._drains():
            # Its listeners are closed for good: an agent was killed while it drained.
            log.warning("envoy had been draining: it is started anew", container=self.container)
            await asyncio.to_thread(self._end)
            await asyncio.to_thread(self._launch)

    async def wait_ended(self) -> int | None:
        """Waits for the end of the container and gives Envoy's exit code, None if it was removed.

        Raises:
            DriverError: the engine cannot be reached: nobody knows whether Envoy runs.
        """
        engine, container = self._engine, self._container
        if engine is None or container is None:
            return None
        while not await asyncio.to_thread(engine.wait, container, within=_LOOK_EVERY):
            pass
        code = await asyncio.to_thread(engine.exit_code, container)
        if last := await asyncio.to_thread(engine.last_words, container):
            log.warning("envoy's last words", container=self.container, said=last)
        return code

    def leave(self) -> None:
        """Leaves the container running and lets go of it, for another agent to adopt."""
        self._folder.release()

    async def stop(self, *, drain: timedelta) -> None:
        """Drains, then ends and removes the container; nothing if none of ours runs.

        Cancelled while it drains, it goes on with the end at once.

        Raises:
            DriverError: it may still run.
        """
        try:
            if drain and self._container is not None:
                await drain_envoy(self.admin, within=drain)
        finally:
            await asyncio.to_thread(self._end)
            self._folder.release()

    async def _drains(self) -> bool:
        with contextlib.suppress(AdminSilentError):
            async with Admin(self.admin) as admin:
                return server_reading(await admin.get("/server_info")).state == DRAINING
        return False

    def _adopt(self) -> bool:
        """Takes over the container if it runs, removes it if it does not."""
        with self._calls:
            engine = self._opened()
            found = self._ours(engine)
            if found is None:
                return False
            if not engine.runs(found):
                engine.remove(found)
                return False
            if found.labels.get(SPEC_LABEL) != self._spec.labels[SPEC_LABEL]:
                log.warning(
                    "envoy runs with an older bootstrap, image or command line; the new one"
                    " counts from its next start",
                    container=self.container,
                )
            self._container = found
            log.info("envoy adopted", container=self.container, id=found.short_id)
            return True

    def _launch(self) -> None:
        with self._calls:
            try:
                self._folder.write_bootstrap(self._bootstrap.text)
            except OSError as error:
                raise DriverError(f"envoy cannot be started: {error}") from error
            self._container = self._opened().create(self._spec)
            log.info(
                "envoy started",
                container=self.container,
                id=self._container.short_id,
                image=self._spec.image,
            )

    def _end(self) -> None:
        """Ends what runs by its name: a start that was cancelled has left no other trace."""
        with self._calls:
            if self._engine is None:
                return
            if found := self._ours(self._engine):
                log.info("envoy is told to end", container=self.container)
                self._engine.end(found)
            self._container = None
            self._engine.close()
            self._engine = None

    def _opened(self) -> Engine:
        if self._engine is None:
            self._engine = Engine.open(self._address)
        return self._engine

    def _ours(self, engine: Engine) -> Container | None:
        """Gives the container of our name.

        Raises:
            DriverError: it is not this agent's.
        """
        found = engine.find(self.container)
        if found is None:
            return None
        for label in (NODE_LABEL, FOLDER_LABEL):
            wanted, has = self._spec.labels[label], found.labels.get(label)
            if has != wanted:
                raise DriverError(
                    f"container {self.container!r} is not this agent's (its {label} is"
                    f" {has or 'not set'}, not {wanted}): remove or rename it"
                )
        return found

    def _specified(self, image: str, arguments: tuple[str, ...], open_files: int) -> ContainerSpec:
        fleet, node = self._bootstrap.fleet, self._bootstrap.node
        command = ("--config-path", str(self._folder.bootstrap), *arguments)
        made_of = repr((image, command, open_files, self._bootstrap.text))
        return ContainerSpec(
            name=f"tidegate-{fleet}-{node}",
            image=image,
            command=command,
            labels={
                NODE_LABEL: f"fleets/{fleet}/nodes/{node}",
                FOLDER_LABEL: str(self._folder),
                SPEC_LABEL: hashlib.sha256(made_of.encode()).hexdigest(),
            },
            mounts=(str(self._folder),),
            open_files=open_files,
        )
