"""Every rule has a test, and the table in docs names it."""

import re
from pathlib import Path

import pytest

from tools.mutations import MUTATIONS, Mutation

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVOYS = {24, 46}
TABLE = ROOT / "docs" / "xds-conformance.md"
RULES = range(1, 66)
TEST = re.compile(r"^async def (test_rule_(\d\d)_\w+)\(", re.MULTILINE)


def named_by_rule() -> dict[int, set[str]]:
    found: dict[int, set[str]] = {rule: set() for rule in RULES}
    for path in sorted(HERE.glob("test_*.py")):
        for name, number in TEST.findall(path.read_text()):
            found[int(number)].add(name)
    return found


def rows() -> dict[int, str]:
    lines = re.findall(r"^\| (\d+) \|(.*)\|$", TABLE.read_text(), re.MULTILINE)
    assert len(lines) == len({number for number, _ in lines}), "a rule is in the table twice"
    return {int(number): rest for number, rest in lines}


def test_every_rule_has_a_test_of_its_number():
    assert [rule for rule, tests in named_by_rule().items() if not tests] == []


def test_the_table_names_every_test_of_every_rule_and_no_other():
    named = {rule: set(re.findall(r"`(test_rule_\w+)`", text)) for rule, text in rows().items()}
    assert named == named_by_rule()


def test_every_rule_that_is_the_servers_is_broken_once_by_make_mutants():
    assert [mutation.rule for mutation in MUTATIONS] == [*sorted({*RULES} - ENVOYS)]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: str(mutation.rule))
def test_every_mutation_finds_its_text(mutation: Mutation):
    source = (ROOT / mutation.file).read_text()
    broken = mutation.applied(source)
    assert broken != source
    compile(broken, mutation.file, "exec")
