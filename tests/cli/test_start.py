"""Start-up is part of the feel: what a command imports, and when it colours."""

import subprocess
import sys

import pytest

from tidegate.cli import table

HEAVY = ("sqlalchemy", "alembic", "pydantic_settings", "structlog", "envoy", "rich")
PROBE = """
import sys
sys.argv = ["tidegate", *{words!r}]
from tidegate.cli.main import main
try:
    main()
finally:
    print("loaded:", *sorted({{name.partition(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def loaded_by(*words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(words=words)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    line = next(each for each in done.stderr.splitlines() if each.startswith("loaded:"))
    return set(line.split()[1:])


@pytest.mark.parametrize("words", [("--help",), ("pool", "create", "--help"), ("serve", "--help")])
def test_help_loads_neither_grpc_nor_protobuf_nor_the_server(words):
    assert loaded_by(*words) & {*HEAVY, "grpc", "google", "yaml"} == set()


def test_a_call_loads_grpc_and_nothing_of_the_server():
    found = loaded_by("pool", "list", "--project", "p", "--server", "127.0.0.1:1")
    assert "grpc" in found
    assert found & {*HEAVY, "api"} == set()


@pytest.mark.parametrize(
    ("terminal", "env", "wanted"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(monkeypatch, terminal, env, wanted):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert table.coloured(terminal) is wanted
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    lines = table.lines(
        [{"s": "ACTIVE"}, {"s": "ERROR"}], [table.Column.of("STATUS", "s")], header=True
    )
    assert ("\x1b[31mERROR" in lines[2]) is wanted
