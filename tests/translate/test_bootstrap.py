"""The bootstrap: real Envoy accepts it, and the example in deploy/ is what Tidegate makes."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.harness.envoy_process import BINARY
from xds.translate import ARGUMENTS, bootstrap, to_json

EXAMPLE = Path(__file__).parents[2] / "deploy" / "envoy"
LOCAL = [("127.0.0.1", 18000)]


def made(**fields: object) -> dict:
    given = {"fleet": "edge", "node": "edge-1", "xds_address": LOCAL, **fields}
    return json.loads(to_json(bootstrap(**given)))


def validate(config: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BINARY), "--mode", "validate", "--config-path", str(config), *ARGUMENTS]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"xds_address": [("10.0.0.1", 18000), ("10.0.0.2", 18000), ("2001:db8::3", 18000)]},
        {"xds_address": [("one.example.com", 18000), ("10.0.0.2", 18000)]},
        {"xds_address": ["/run/tidegate/xds.sock", ("10.0.0.2", 18000)]},
        {"admin_path": "admin.sock"},
        {"admin_port": 0, "max_connections": 10},
    ],
    ids=["one", "several", "by name", "unix socket", "unix admin", "free port"],
)
def test_real_envoy_accepts_it(fields, tmp_path) -> None:
    if path := fields.get("admin_path"):
        fields = {**fields, "admin_path": str(tmp_path / path)}
    config = tmp_path / "bootstrap.json"
    given = {"fleet": "edge", "node": "edge-1", "xds_address": LOCAL, **fields}
    config.write_text(to_json(bootstrap(**given)))
    done = validate(config)
    assert done.returncode == 0, done.stderr
    # Not even a word about deprecated or unknown settings.
    assert "[warning]" not in done.stderr
    assert "[error]" not in done.stderr


def test_the_check_can_fail(tmp_path) -> None:
    broken = made()
    broken["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"] = {
        "cluster_name": "nobody"
    }
    config = tmp_path / "bootstrap.json"
    config.write_text(json.dumps(broken))
    assert validate(config).returncode != 0


def test_names_and_ids_are_the_same_node() -> None:
    named = made(fleet="fleets/edge", node="fleets/edge/nodes/n")
    assert named["node"] == {"cluster": "edge", "id": "n"}
    assert named == made(fleet="edge", node="n")


def test_admin_never_leaves_the_host(tmp_path) -> None:
    address = made()["admin"]["address"]["socket_address"]
    assert address == {"address": "127.0.0.1", "port_value": 9901}
    pipe = made(admin_path="/run/envoy.sock")["admin"]["address"]
    assert pipe == {"pipe": {"path": "/run/envoy.sock", "mode": 0o600}}


def test_every_control_plane_is_an_endpoint() -> None:
    config = made(xds_address=[("10.0.0.1", 1), ("10.0.0.2", 2)])
    (cluster,) = config["static_resources"]["clusters"]
    (locality,) = cluster["load_assignment"]["endpoints"]
    assert [
        (each["address"], each["port_value"])
        for each in (
            endpoint["endpoint"]["address"]["socket_address"]
            for endpoint in locality["lb_endpoints"]
        )
    ] == [("10.0.0.1", 1), ("10.0.0.2", 2)]


def test_without_a_control_plane_there_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap(fleet="edge", node="edge-1", xds_address=[])


def test_the_example_in_deploy_is_what_is_made() -> None:
    assert (EXAMPLE / "bootstrap.json").read_text() == to_json(
        bootstrap(fleet="edge", node="edge-1", xds_address=LOCAL)
    )


def test_the_example_explains_every_setting() -> None:
    explained = (EXAMPLE / "README.md").read_text()
    missing = {name for name in _settings(made()) if f"`{name}" not in explained}
    assert missing == set()


def test_every_way_to_start_a_node_has_the_same_arguments() -> None:
    node = (EXAMPLE / "Containerfile.node").read_text()
    assert json.loads(node.split("\nCMD ")[1]) == list(ARGUMENTS)
    assert " ".join(ARGUMENTS) in (EXAMPLE / "README.md").read_text()


def test_compose_uses_the_files_that_are_here() -> None:
    services = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())["services"]
    assert set(services) == {"control-plane", "node"}
    for service in services.values():
        assert service["network_mode"] == "host"
        build = service["build"]
        assert (EXAMPLE / build["context"] / build["dockerfile"]).exists()


def _settings(config: object, *, inside: str = "") -> set[str]:
    """Gives the names of the settings that decide something: leaves, but not a message's type."""
    if isinstance(config, list):
        return {name for each in config for name in _settings(each, inside=inside)}
    if not isinstance(config, dict) or not config:
        return {inside}
    return {
        name
        for key, value in config.items()
        if key != "@type"
        for name in _settings(value, inside=key)
    }


def test_a_unix_socket_is_a_pipe() -> None:
    config = made(xds_address=["/run/tidegate/xds.sock", ("10.0.0.2", 18000)])
    (cluster,) = config["static_resources"]["clusters"]
    (locality,) = cluster["load_assignment"]["endpoints"]
    first, second = [each["endpoint"]["address"] for each in locality["lb_endpoints"]]
    assert first == {"pipe": {"path": "/run/tidegate/xds.sock"}}
    assert second["socket_address"]["address"] == "10.0.0.2"
    assert cluster["type"] == "STATIC"
