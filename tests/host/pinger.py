"""A Pinger as a process, for a namespace: an AgentSpec as JSON in, verdicts as JSON lines out."""

import asyncio
import sys

from google.protobuf.json_format import MessageToJson, Parse

from agent.ping import Pinger
from lbaas.v1.agent_service_pb2 import AgentSpec, PingVerdict


def say(verdict: PingVerdict) -> None:
    """Prints a verdict on a line of its own."""
    print(MessageToJson(verdict, indent=None), flush=True)  # noqa: T201 - it is read


async def main(spec: str) -> None:
    """Watches until it is ended."""
    pinger = Pinger(say)
    if refusal := pinger.refusal():
        sys.exit(refusal)
    pinger.watch(Parse(spec, AgentSpec()).pools)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.stdin.read()))
