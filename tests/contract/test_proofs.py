"""`docs/proofs.md` names tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(r"`\.venv/bin/pytest ([^`]+)`", (ROOT / "docs/proofs.md").read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_finds_its_tests(command: str):
    paths, _, chosen = command.partition(" -k ")
    names = [
        name
        for path in paths.split()
        for name in re.findall(
            r"^(?:async )?def (test_\w+)", (ROOT / path).read_text(), re.MULTILINE
        )
    ]
    assert names
    for word in chosen.strip('"').split(" or "):
        assert any(word in name for name in names), f"no test is called ...{word}..."


def test_the_page_is_read():
    assert len(COMMANDS) > 15
