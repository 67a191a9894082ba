"""`docs/invariants.md` has every invariant, each with tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (\d+) \| (.+) \| (.+) \|$", (ROOT / "docs/invariants.md").read_text(), re.MULTILINE
)
SHOWN = [(number, test) for number, _, tests in ROWS for test in re.findall(r"`([^`]+)`", tests)]


def test_each_invariant_has_its_tests():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 16))
    assert {number for number, _ in SHOWN} == {number for number, *_ in ROWS}


@pytest.mark.parametrize(("number", "test"), SHOWN)
def test_each_test_is_there(number: str, test: str):
    path, _, name = test.partition("::")
    text = (ROOT / path).read_text()
    assert re.search(rf"^(async def |def |){re.escape(name)}\b", text, re.MULTILINE), test
