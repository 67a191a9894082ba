"""A container engine for tests: podman's service speaks Docker's API.

It has a store of its own, so it sees no container and no image of the host, and needs none: the
node's image is made of the Envoy that the tests use everywhere.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import docker

from tests.harness.envoy_process import BINARY

# What works without systemd, CAP_SYS_RESOURCE and pure cgroups v2: in a small virtual machine, in
# CI. Higher ulimits may not be set there, and crun fails (setrlimit, hybrid cgroups).
_CONFIGURATION = """
[containers]
cgroupns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_CONTAINERFILE = 'FROM scratch\nCOPY root /\nENTRYPOINT ["envoy"]\n'
_STARTS_WITHIN = 30.0


class PodmanService:
    """The service on a unix socket, in a folder of its own."""

    image = "tidegate-node"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.address = f"unix://{folder}/api.sock"

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """Starts one; at the end its containers, itself and its store go."""
        # Not below pytest's folder: podman allows few bytes in the path of its run folder.
        with tempfile.TemporaryDirectory(prefix="tg-", ignore_cleanup_errors=True) as folder:
            service = cls(Path(folder))
            service.start()
            try:
                yield service
            finally:
                service.clear()
                service.stop()

    def start(self) -> None:
        """Starts it (again, with the same store) and waits until it answers."""
        configuration = self._folder / "containers.conf"
        configuration.write_text(_CONFIGURATION)
        store = ("--root", f"{self._folder}/store", "--runroot", f"{self._folder}/run")
        # vfs copies where overlays cannot be mounted.
        command = ("podman", *store, "--storage-driver=vfs")
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "system", "service", "--time=0", self.address],
                env={**os.environ, "CONTAINERS_CONF": str(configuration)},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + _STARTS_WITHIN
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as listening:
                    listening.connect(self.address.removeprefix("unix://"))
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"podman does not answer: {log.read_text()}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Ends the service; containers go on without it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=15)
            self._process = None

    def clear(self) -> None:
        """Removes all of its containers."""
        with self.client() as client:
            for container in client.containers.list(all=True):
                container.remove(force=True)

    @contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """A client of it."""
        client = docker.DockerClient(base_url=self.address)
        try:
            yield client
        finally:
            client.close()

    def build_node_image(self, folder: Path) -> None:
        """Builds `image` from the Envoy binary and the libraries it is linked with.

        Args:
            folder: an empty one, for what goes into the image.
        """
        root = folder / "root"
        shutil.copy(BINARY, _made(root / "usr/local/bin/envoy"))
        linked = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=True)
        for library in re.findall(r"(/\S+) \(", linked.stdout):
            shutil.copy(library, _made(root / library.lstrip("/")))
        (folder / "Containerfile").write_text(_CONTAINERFILE)
        with self.client() as client:
            client.images.build(path=str(folder), dockerfile="Containerfile", tag=self.image)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
