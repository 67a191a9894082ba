"""`tidegate bootstrap`: for an Envoy, and for a gRPC client that needs none."""

import json

from tests.cli.conftest import run_words
from tidegate.cli.failure import Exit


def bootstrap(*words: str):
    return run_words(["bootstrap", *words], env={})


def test_an_envoys_is_not_a_grpc_clients():
    ran = bootstrap("edge", "e1")
    assert json.loads(ran.out)["node"] == {"cluster": "edge", "id": "e1"}
    assert "envoy -c FILE" in ran.err


def test_a_grpc_clients_says_who_it_is_and_where_its_control_planes_are():
    planes = ("--xds", "10.0.0.5:18000", "--xds", "unix:/run/xds.sock")
    ran = bootstrap("fleets/edge", "shop", "--grpc", *planes)
    assert ran.code == 0
    made = json.loads(ran.out)
    assert made["node"] == {"id": "shop", "cluster": "edge"}
    uris = [each["server_uri"] for each in made["xds_servers"]]
    assert uris == ["10.0.0.5:18000", "unix:/run/xds.sock"]
    assert "GRPC_XDS_BOOTSTRAP=FILE" in ran.err
    assert "xds:///projects/PROJECT/vips/VIP" in ran.err
    (local,) = json.loads(bootstrap("edge", "shop", "--grpc").out)["xds_servers"]
    assert local["server_uri"] == "127.0.0.1:18000"


def test_what_is_wrong_with_it_is_said():
    ran = bootstrap("Edge!", "shop", "--grpc", "--xds", "nowhere")
    assert ran.code == Exit.USAGE
    assert "fleet 'Edge!'" in ran.err
    assert "--xds-address 'nowhere'" in ran.err
    for admin in (("--admin-port", "1"), ("--admin-path", "/run/admin")):
        ran = bootstrap("edge", "shop", "--grpc", *admin)
        assert ran.code == Exit.USAGE
        assert "a gRPC client has no admin" in ran.err
