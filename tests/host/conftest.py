"""What the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host import needs
from tests.host.podman import PodmanService


@pytest.fixture(scope="session", autouse=True)
def host() -> None:
    """Ends the run, red, with what the host lacks."""
    if lacks := needs.missing():
        pytest.exit("this host lacks\n  " + "\n  ".join(lacks), returncode=1)


@pytest.fixture(scope="session")
def podman(host: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanService]:
    """A container engine with a store of its own, and the image of a node in it."""
    with PodmanService.running() as service:
        service.build_node_image(Path(tmp_path_factory.mktemp("image")))
        yield service
