"""Asks a port until it answers 200, from a process: `python -m benchmarks.first_request`.

Each line of its input is a port; for each it prints when the first 200 was there, on the clock of
`time.perf_counter`, which on Linux is one clock for all processes.
"""

import asyncio
import socket
import sys
import time
from typing import Self

PAUSE = 0.0002
"""Seconds between two attempts: so much may be added to a figure."""
_REQUEST = b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n"


class FirstRequest:
    """The process."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.first_request"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._process.kill()
        await self._process.wait()

    async def answered(self, port: int) -> "asyncio.Task[float]":
        """Begins to ask a port; gives the task whose result is when it answered."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{port}\n".encode())
        await self._process.stdin.drain()
        return asyncio.create_task(self._read())

    async def _read(self) -> float:
        assert self._process.stdout is not None
        return float(await self._process.stdout.readline())


def _ask(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(_REQUEST)
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def main() -> None:
    """Takes ports until its input ends."""
    for line in sys.stdin:
        while not _ask(int(line)):
            time.sleep(PAUSE)
        print(time.perf_counter(), flush=True)


if __name__ == "__main__":
    main()
