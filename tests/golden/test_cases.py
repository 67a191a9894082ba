"""Every case renders exactly what its file says, and every case is one the API would accept."""

import pytest

from lbaas.model.enums import HealthMonitorType, LbMethod, Protocol, SessionPersistenceType
from lbaas.model.rules import check_tree
from tests.golden.case import Case, all_cases, read
from tests.golden.rewrite import rewrite

CASES = list(all_cases())
each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@each_case
def test_renders_as_written(case: Case) -> None:
    assert case.rendered() == case.expected, "python -m tests.golden.rewrite, and read the diff"


@each_case
def test_is_a_tree_that_can_exist(case: Case) -> None:
    assert check_tree(case.tree) == ()


def test_every_combination_has_a_case() -> None:
    pools = {(case.tree.pool.protocol, case.tree.pool.lb_method) for case in CASES}
    assert pools == {(protocol, method) for protocol in Protocol for method in LbMethod}
    checks = {monitor.type for case in CASES for monitor in case.tree.health_monitors}
    assert checks == set(HealthMonitorType)
    kept = {vip.session_persistence for case in CASES for vip in case.tree.vips} - {None}
    assert {each.type for each in kept} == set(SessionPersistenceType)


def test_rewrite_keeps_the_hand_written_part_and_removes_what_is_stale(tmp_path) -> None:
    case = CASES[0]
    (tmp_path / "new.yaml").write_text(case.source)
    (tmp_path / "wrong.yaml").write_text(f"{case.source}\n---\n[]\n")
    (tmp_path / "stale.yaml").write_text("---\n[]\n")
    assert rewrite(tmp_path) == ["rewrote new.yaml", "removed stale.yaml", "rewrote wrong.yaml"]
    assert read(tmp_path / "new.yaml").source == case.source.rstrip("\n")
    assert read(tmp_path / "wrong.yaml").expected == case.expected
    assert not (tmp_path / "stale.yaml").exists()
    assert rewrite(tmp_path) == []
