"""Settings that cannot be meant are refused before anything is opened."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from tidegate.config import Settings

LISTENING = ("api_address", "xds_address", "metrics_address")


@pytest.mark.parametrize("name", LISTENING)
@pytest.mark.parametrize("port", ["65536", "99999"])
def test_a_port_that_there_is_not_is_refused(name: str, port: str):
    with pytest.raises(ValidationError, match=f"there is no port {port}"):
        Settings(**{name: f"127.0.0.1:{port}"})
    assert getattr(Settings(**{name: "[::1]:65535"}), name) == "[::1]:65535"


@pytest.mark.parametrize("name", LISTENING)
@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1", ":80", "127.0.0.1:http", "unix:a"])
def test_what_is_no_address_is_refused(name: str, address: str):
    with pytest.raises(ValidationError, match=r"write (HOST:PORT|unix:/PATH)"):
        Settings(**{name: address})


def test_metrics_are_served_on_no_socket_and_by_default_nowhere():
    assert not Settings().metrics_address
    with pytest.raises(ValidationError, match="or nothing"):
        Settings(metrics_address="unix:/tmp/metrics")


def test_serve_says_what_is_wrong_in_plain_words(tmp_path):
    words = ["serve", "--metrics-address", "127.0.0.1:99999"]
    done = subprocess.run(
        [sys.executable, "-m", "tidegate", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: the settings are wrong",
        "  metrics_address: there is no port 99999: they end at 65535",
    ]
