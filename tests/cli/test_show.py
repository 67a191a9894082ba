"""`--show`: the line that makes the call, for each of the two tools."""

import json
import shlex


def test_grpcurl(run, api):
    ran = run(
        'tidegate pool create web --protocol http --display-name "Bob\'s pool" --show grpcurl'
    )
    words = shlex.split(ran.out)
    assert words[:3] == ["grpcurl", "-plaintext", "-d"]
    assert json.loads(words[3])["pool"]["displayName"] == "Bob's pool"
    assert words[4:] == [api.address, "lbaas.v1.PoolService/CreatePool"]
    assert api.asked == []


def test_buf(run, api):
    words = shlex.split(run("tidegate vip get web --show buf").out)
    assert words[:2] == ["buf", "curl"]
    assert words[-1] == f"http://{api.address}/lbaas.v1.VipService/GetVip"


def test_a_command_of_several_calls_shows_them_all(run, api):
    lines = run("tidegate status --show grpcurl").out.splitlines()
    assert [line.rsplit("/", 1)[-1] for line in lines] == [
        "ListVips",
        "ListPools",
        "ListMembers",
        "ListHealthMonitors",
    ]
    assert api.asked == []


def test_a_dry_run_is_shown_as_one(run):
    words = shlex.split(run("tidegate vip delete web --dry-run --show grpcurl").out)
    assert json.loads(words[3])["validateOnly"] is True
