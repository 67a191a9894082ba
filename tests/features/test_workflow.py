"""`docs/lbaas-workflow.md`: every command is run, and prints what the page shows."""

import asyncio
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from tests.harness.ports import free_port
from tests.harness.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "lbaas-workflow.md"
READS = ("status", "list", "stats", "curl", "why")
"""Words of commands that change nothing: they are repeated until they print what is shown."""
WITHIN = 20.0


@dataclass(frozen=True)
class Step:
    """A command, what the page shows that it prints, and its exit code."""

    command: str
    shown: str
    code: int = 0

    @property
    def reads(self) -> bool:
        return any(f" {word}" in f" {self.command}" for word in READS)

    def printed(self, output: str) -> bool:
        """Tells whether the output is what is shown; blanks at line ends do not count."""
        wanted = "\n".join(re.sub(r"\s+", " ", line).strip() for line in self.shown.splitlines())
        given = "\n".join(re.sub(r"\s+", " ", line).strip() for line in output.splitlines())
        # `...` by itself on a line is any number of lines, also none.
        pattern = (
            re.escape(wanted).replace(re.escape("...\n"), "\0").replace(re.escape("..."), ".*")
        )
        pattern = re.sub(r"(?m)^\0", "(?:.*\n)?", pattern).replace("\0", ".*\n")
        return re.fullmatch(pattern, given, re.DOTALL) is not None


def steps(text: str) -> list[Step]:
    """The commands of a page's `console` blocks, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            code = re.search(r"^\[exit (\d)\]$", shown, re.MULTILINE)
            shown = re.sub(r"^\[exit \d\]\n", "", shown, flags=re.MULTILINE)
            found.append(Step(command, shown.strip("\n"), int(code[1]) if code else 0))
    return found


class Shell:
    """One bash that runs the commands one after the other, as a person's would."""

    def __init__(self, folder: Path) -> None:
        api, xds = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.xds = xds
        self._folder = folder
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONUNBUFFERED": "1",  # lines in the order in which a terminal gets them
            # The page names no ports: they are the defaults', and here free ones.
            "TIDEGATE_API_ADDRESS": api,
            "TIDEGATE_SERVER": api,
            "TIDEGATE_XDS_ADDRESS": xds,
        }
        self._api = api

    async def __aenter__(self) -> Self:
        self._bash = await asyncio.create_subprocess_exec(
            "bash",
            "--norc",
            cwd=self._folder,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        # Agents first: they end their Envoys.
        await self.run("kill $(jobs -p); wait")
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        try:
            async with asyncio.timeout(20):
                await self._bash.wait()
        except TimeoutError:
            os.killpg(self._bash.pid, signal.SIGKILL)
            raise

    async def run(self, command: str) -> tuple[int, str]:
        """Runs one command; gives its exit code and what it printed, as a terminal shows it."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f'{command}\ncode=$?; echo; echo "[end $code]"\n'.encode())
        lines = []
        async with asyncio.timeout(90):
            while not (ended := re.fullmatch(r"\[end (\d+)\]", line := await self._line())):
                lines.append(line)
        return int(ended[1]), "\n".join(lines).strip("\n")

    async def _line(self) -> str:
        assert self._bash.stdout is not None
        line = await self._bash.stdout.readline()
        assert line, "the shell ended"
        return line.decode().rstrip("\n")

    async def serves(self) -> None:
        """Waits until the control plane answers."""
        host, _, port = self._api.rpartition(":")

        async def answers() -> bool:
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return True

        await until(answers, within=WITHIN, what="the control plane answers")

    async def shows(self, step: Step) -> None:
        """Runs a command and compares; one that changes nothing until it prints what is shown."""
        seen = ""

        async def printed() -> bool:
            nonlocal seen
            code, output = await self.run(step.command)
            seen = f"$ {step.command}\n{output}\n[exit {code}]\n-- shown --\n{step.shown}"
            return code == step.code and step.printed(output)

        if step.reads:
            await until(printed, within=WITHIN, what=step.command, every=0.2)
        else:
            assert await printed(), seen


@pytest.mark.timeout(180)
async def test_every_command_of_the_page_prints_what_the_page_shows(tmp_path):
    todo = steps(PAGE.read_text())
    assert len(todo) > 30
    async with Shell(tmp_path) as shell:
        for step in todo:
            await shell.shows(step)
            if step.command.startswith("tidegate serve"):
                await shell.serves()


def test_what_is_not_shown_is_noticed():
    (step,) = steps("```console\n$ x\na ... 2/2\nb\n```\n")
    assert step.printed("a  1 ms   2/2\nb")
    assert not step.printed("a 1 ms 1/2\nb")
    assert not step.printed("a 2/2\nb\nmore")
    (step,) = steps("```console\n$ x\na\n...\nb\n```\n")
    assert step.printed("a\nb")
    assert step.printed("a\n1\n2\nb")
    assert not step.printed("a\n1 b")
