"""`tidegate apply`: the file's words, and what is sent."""

import json

TREE = """
pool: {name: web, protocol: HTTP, lb_method: ROUND_ROBIN, health_monitors: [web-check]}
members:
  - {name: m1, address: 10.0.0.1, port: 8080, drain_timeout: 30s}
health_monitors:
  - {name: web-check, type: HTTP, delay: 5s, timeout: 2s, max_retries: 3, expected_codes: "200"}
vips:
  - {name: web, port: 80, protocol: HTTP}
"""
SENT = {
    "pool": {
        "name": "projects/acme/pools/web",
        "protocol": "HTTP",
        "lbMethod": "ROUND_ROBIN",
        "healthMonitors": ["projects/acme/healthMonitors/web-check"],
    },
    "members": [
        {
            "name": "projects/acme/pools/web/members/m1",
            "address": "10.0.0.1",
            "port": 8080,
            "drainTimeout": "30s",
        }
    ],
    "healthMonitors": [
        {
            "name": "projects/acme/healthMonitors/web-check",
            "type": "HTTP",
            "delay": "5s",
            "timeout": "2s",
            "maxRetries": 3,
            "expectedCodes": "200",
        }
    ],
    "vips": [{"name": "projects/acme/vips/web", "port": 80, "protocol": "HTTP"}],
}
ANSWER = {
    "revision": "9",
    "pool": {"name": "projects/acme/pools/web", "revision": "9"},
    "members": [{"name": "projects/acme/pools/web/members/m1", "revision": "4"}],
}


def test_short_names_become_full_ones(run, api, tmp_path):
    (tmp_path / "tree.yaml").write_text(TREE)
    api.answer("LoadBalancerService/Apply", ANSWER)
    ran = run(f"tidegate apply -f {tmp_path}/tree.yaml")
    assert ran.code == 0
    assert ran.err == "pool/web applied: revision 9, 2 objects\n"
    assert api.requests("LoadBalancerService/Apply") == [{"loadBalancer": SENT}]


def test_json_from_stdin_does_too(run, api):
    api.answer("LoadBalancerService/Apply", ANSWER)
    run("tidegate apply -f -", stdin=json.dumps(SENT))
    assert api.requests("LoadBalancerService/Apply") == [{"loadBalancer": SENT}]


def test_waiting_asks_for_every_object_and_gives_one_receipt(run, api):
    api.answer("LoadBalancerService/Apply", ANSWER)
    api.answer(
        "LoadBalancerService/WaitForApplied",
        {"outcome": "APPLIED", "nodesApplied": 1, "nodesTotal": 1},
    )
    on_nodes = {"nodesApplied": 1, "nodesTotal": 1}
    api.answer("PoolService/GetPool", {**ANSWER["pool"], **on_nodes})
    api.answer("MemberService/GetMember", ANSWER["members"][0])
    ran = run("tidegate apply -f - --wait=applied", stdin=TREE)
    waits = api.requests("LoadBalancerService/WaitForApplied")
    assert [(each["name"], each["revision"]) for each in waits] == [
        ("projects/acme/pools/web", "9"),
        ("projects/acme/pools/web/members/m1", "4"),
    ]
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("pool/web applied: revision 9, 2 objects, applied 1/1 in ")


def test_every_fault_is_named_with_its_path_and_a_guess(run, api):
    wrong = """
pool: {name: web, protcol: HTTP, lb_method: ROUND_ROBBIN}
members:
  - {name: m1, adress: 10.0.0.1, port: eighty, drain_timeout: 30}
vips:
  - {name: web, port: 80, protocol: HTTP, admin_state_up: "no"}
health_monitors:
  - {name: c, expected_codes: 200}
listeners: []
"""
    ran = run("tidegate apply -f -", stdin=wrong)
    assert ran.code == 2
    assert api.asked == []
    assert "-: 8 things are wrong" in ran.err
    for line in (
        "pool.protcol: unknown (did you mean 'protocol'?)",
        "pool.lb_method: 'ROUND_ROBBIN' is unknown (did you mean 'ROUND_ROBIN'?)",
        "members[0].adress: unknown (did you mean 'address'?)",
        "members[0].port: has to be a whole number",
        "members[0].drain_timeout: write seconds with an s",
        "vips[0].admin_state_up: has to be true or false",
        "health_monitors[0].expected_codes: has to be text; put it in quotes",
        "listeners: unknown",
    ):
        assert f"  {line}" in ran.err


def test_what_is_no_file_or_no_yaml_is_said(run, tmp_path):
    assert run(f"tidegate apply -f {tmp_path}/none.yaml").code == 2
    ran = run("tidegate apply -f -", stdin="pool: [")
    assert ran.code == 2
    assert "neither YAML nor JSON" in ran.err


def test_a_whole_tree_is_deleted_by_pool_delete_tree(run, api):
    api.answer("LoadBalancerService/DeleteTree", ANSWER)
    ran = run("tidegate pool delete web --tree")
    assert ran.code == 0
    assert api.requests("LoadBalancerService/DeleteTree") == [{"name": "projects/acme/pools/web"}]
