"""`docs/on-call.md`: every command is run, on a real Envoy, and prints what the page shows."""

from pathlib import Path

import pytest

from tests.features.test_workflow import Shell, steps
from tests.harness.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "on-call.md"


@pytest.mark.timeout(180)
async def test_every_command_of_the_page_prints_what_the_page_shows(tmp_path):
    async with Shell(tmp_path) as shell:
        # The page names the ports that people have; the test has free ones.
        text = PAGE.read_text().replace("127.0.0.1:18000", shell.xds)
        todo = steps(text.replace("127.0.0.1:18091", f"127.0.0.1:{free_port()}"))
        assert len(todo) > 15
        for step in todo:
            await shell.shows(step)
            if step.command.startswith("tidegate serve"):
                await shell.serves()
