"""What a refused call prints: what, why, the next command; and its exit code."""

import grpc
import pytest
from google.rpc import error_details_pb2 as details

from tests.cli.scripted import Refusal


def test_every_violation_is_shown_with_its_field(run, api):
    bad = details.BadRequest(
        field_violations=[
            details.BadRequest.FieldViolation(field="pool.name", description="too long"),
            details.BadRequest.FieldViolation(field="pool.lb_method", description="required"),
        ]
    )
    info = details.ErrorInfo(reason="INVALID_OBJECT", domain="tidegate")
    api.answer(
        "PoolService/CreatePool",
        Refusal(grpc.StatusCode.INVALID_ARGUMENT, "pool.name: too long; ...", (info, bad)),
    )
    ran = run("tidegate pool create web --protocol http")
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "error: pool create: 2 things are wrong (INVALID_OBJECT)",
        "  pool.name: too long",
        "  pool.lb_method: required",
        "next: tidegate pool create --help",
    ]


@pytest.mark.parametrize(
    ("command", "method", "field", "called"),
    [
        ("monitor create c --type http", "Create", "timeout", "--check-timeout"),
        ("monitor update c --delay 1s", "Update", "timeout", "--check-timeout"),
        ("monitor create c --type http", "Create", "expected_codes", "--expect"),
        ("monitor create c --type http", "Create", "url_path", "--path"),
        ("monitor create c --type http", "Create", "max_retries", "--max-retries"),
        ("monitor create c --type http", "Create", "type", "--type"),
        ("monitor create c --type http", "Create", "labels[a b]", "--label"),
        # No option sets these.
        ("monitor create c --type http", "Create", "health_monitor_id", "health_monitor_id"),
        ("monitor create c --type http", "Create", "wait", "wait"),
    ],
)
def test_a_field_is_called_as_the_option_that_sets_it(run, api, command, method, field, called):
    wrong = details.BadRequest.FieldViolation(field=field, description="is wrong")
    api.answer(
        f"HealthMonitorService/{method}HealthMonitor",
        Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "wrong",
            (details.BadRequest(field_violations=[wrong]),),
        ),
    )
    ran = run(f"tidegate {command}")
    assert ran.err.splitlines()[0].split(": ", 2)[2].startswith(f"{called}: is wrong")


@pytest.mark.parametrize(
    ("field", "called"),
    [
        ("session_persistence.cookie_name", "--persistence"),
        ("session_persistence.ttl", "--persistence-ttl"),
        ("connection_limit", "--connection-limit"),
        ("vip_id", "vip_id"),
    ],
)
def test_a_part_of_a_field_is_called_as_the_option_of_the_whole(run, api, field, called):
    wrong = details.BadRequest.FieldViolation(field=field, description="is wrong")
    bad = details.BadRequest(field_violations=[wrong])
    api.answer("VipService/CreateVip", Refusal(grpc.StatusCode.INVALID_ARGUMENT, "", (bad,)))
    ran = run("tidegate vip create web --pool web --port 80 --protocol http")
    assert f"vip create: {called}: is wrong" in ran.err


def test_what_does_not_exist_is_exit_3_with_the_name_that_is_most_like_it(run, api):
    missing = details.ResourceInfo(resource_type="pool", resource_name="projects/acme/pools/wbe")
    api.answer(
        "PoolService/GetPool",
        Refusal(grpc.StatusCode.NOT_FOUND, "pool 'wbe' does not exist", (missing,)),
    )
    api.answer("PoolService/ListPools", {"pools": [{"name": "projects/acme/pools/web"}]})
    ran = run("tidegate pool get wbe")
    assert ran.code == 3
    assert "did you mean 'web'" in ran.err
    assert "next: tidegate pool list" in ran.err


def test_a_refusal_that_depends_on_how_things_stand_says_what_to_do(run, api):
    info = details.ErrorInfo(reason="POOL_HAS_VIPS", domain="tidegate")
    api.answer(
        "PoolService/DeletePool", Refusal(grpc.StatusCode.FAILED_PRECONDITION, "VIPs", (info,))
    )
    ran = run("tidegate pool delete web")
    assert ran.code == 4
    assert ran.err.splitlines() == [
        "error: pool delete: VIPs (POOL_HAS_VIPS)",
        "next: tidegate vip list | tidegate pool delete web --tree",
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (grpc.StatusCode.ALREADY_EXISTS, 4),
        (grpc.StatusCode.ABORTED, 4),
        (grpc.StatusCode.FAILED_PRECONDITION, 4),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 4),
        (grpc.StatusCode.UNAVAILABLE, 7),
        (grpc.StatusCode.UNIMPLEMENTED, 4),
        (grpc.StatusCode.INTERNAL, 1),
    ],
)
def test_exit_codes(run, api, status, code):
    api.answer("PoolService/DeletePool", Refusal(status, "not so"))
    ran = run("tidegate pool delete web")
    assert ran.code == code
    assert "not so" in ran.err
    assert ran.out == ""


def test_no_server_is_exit_7_and_says_how_to_start_one(run):
    ran = run("tidegate pool list", TIDEGATE_SERVER="127.0.0.1:1")
    assert ran.code == 7
    assert "error: no answer from 127.0.0.1:1" in ran.err
    assert "tidegate serve" in ran.err


def test_no_project_says_the_three_ways_to_give_one(run, tmp_path):
    ran = run("tidegate pool list", TIDEGATE_PROJECT="")
    assert ran.code == 2
    assert "--project" in ran.err
    assert "TIDEGATE_PROJECT" in ran.err
    assert str(tmp_path) in ran.err


def test_the_context_file_gives_the_project(run, api, tmp_path):
    (tmp_path / "config" / "tidegate").mkdir(parents=True)
    (tmp_path / "config" / "tidegate" / "context").write_text('project = "blue"\n')
    api.answer("PoolService/ListPools", {})
    assert run("tidegate pool list", TIDEGATE_PROJECT="").code == 0
    assert api.requests("PoolService/ListPools")[0]["parent"] == "projects/blue"


def test_a_misspelt_context_file_is_refused(run, tmp_path):
    (tmp_path / "config" / "tidegate").mkdir(parents=True)
    (tmp_path / "config" / "tidegate" / "context").write_text('projekt = "blue"\n')
    ran = run("tidegate pool list", TIDEGATE_PROJECT="")
    assert ran.code == 2
    assert "did you mean 'project'" in ran.err


def test_a_misspelt_command_is_exit_2_with_a_suggestion(run):
    ran = run("tidegate pol list")
    assert ran.code == 2
    assert "'pool'" in ran.err
