"""An agent as a process of its own, to be killed: its options are JSON on the command line."""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path

from agent.process import ProcessDriver
from agent.run import Options, run

given = json.loads(sys.argv[1])
driver = ProcessDriver(
    Path(given["folder"]), bootstrap=given["bootstrap"], arguments=given["arguments"]
)
asyncio.run(
    run(
        Options(
            control_planes=(given["control_plane"],),
            fleet=given["fleet"],
            node=given["node"],
            driver=driver,
            drain=timedelta(0),
        )
    )
)
