"""How these tests run a command: in this process, as typed, with both streams apart."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from tests.cli.scripted import ScriptedApi, scripted_api
from tidegate.cli.main import program


@dataclass
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def run_words(words: list[str], *, env: dict[str, str], stdin: str | None = None) -> Ran:
    app = program(words[0] if words else "")
    result = CliRunner().invoke(
        app, words, input=stdin, env={"NO_COLOR": "1", **env}, catch_exceptions=False
    )
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    with scripted_api() as running:
        yield running


@pytest.fixture
def run(api: ScriptedApi, tmp_path, monkeypatch) -> Run:
    """Runs `tidegate ...` against the scripted API, for project acme."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("TIDEGATE_PROJECT", raising=False)

    def run_(line: str, *, stdin: str | None = None, **env: str) -> Ran:
        known = {"TIDEGATE_SERVER": api.address, "TIDEGATE_PROJECT": "acme"}
        words = shlex.split(line.removeprefix("tidegate "))
        return run_words(words, env={**known, **env}, stdin=stdin)

    return run_
