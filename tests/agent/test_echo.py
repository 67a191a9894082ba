"""Which packet answers which request. A script sends them here, a kernel in tests/host."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from icmplib import ICMPReply, ICMPRequest, ICMPSocketError

from agent import echo
from agent.echo import EchoSocket, NoAnswer

REPLY, UNREACHABLE = 0, 3
MEMBER = ip_address("10.0.0.1")


@dataclass
class Wire:
    """Stands for icmplib's socket; `answers` says what comes back for each request."""

    answers: list[ICMPReply] = field(default_factory=list)
    fails: OSError | None = None
    sent: list[ICMPRequest] = field(default_factory=list)
    is_privileged = False

    def __post_init__(self) -> None:
        self.sock, self.other = socket.socketpair()

    def send(self, request: ICMPRequest) -> None:
        self.sent.append(request)
        if self.fails is not None:
            try:
                raise self.fails
            except OSError as error:
                raise ICMPSocketError(str(error))  # noqa: B904 - as icmplib does
        self.other.send(b"." * len(self.answers))

    def receive(self, *, timeout: float) -> ICMPReply:
        self.sock.recv(1)
        scripted = self.answers.pop(0)
        request = self.sent[-1]
        return ICMPReply(
            source=scripted.source,
            family=4,
            id=request.id ^ scripted.id,
            sequence=request.sequence ^ scripted.sequence,
            type=scripted.type,
            code=scripted.code,
            bytes_received=64,
            time=0.0,
        )

    def close(self) -> None:
        self.sock.close()
        self.other.close()


def packet(
    kind: int = REPLY,
    *,
    source: str = str(MEMBER),
    code: int = 0,
    other_id: int = 0,
    other: int = 0,
) -> ICMPReply:
    """An answer to the request; `other...` makes its id or sequence number another."""
    return ICMPReply(source, 4, other_id, other, kind, code, 64, 0.0)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(echo, "_open", lambda _family: made)
    return made


@pytest.fixture
async def opened(wire: Wire) -> AsyncIterator[EchoSocket]:
    made = EchoSocket(4)
    yield made
    made.close()


async def test_an_answer(wire: Wire, opened: EchoSocket) -> None:
    wire.answers = [packet()]
    await opened.ask(MEMBER, within=5)


@pytest.mark.parametrize(
    "stray",
    [
        pytest.param(packet(source="10.0.0.2"), id="from another address"),
        pytest.param(packet(other_id=1), id="to another process"),
        pytest.param(packet(other=1), id="to another request"),
    ],
)
async def test_what_is_no_answer(wire: Wire, opened: EchoSocket, stray: ICMPReply) -> None:
    wire.answers = [stray]
    with pytest.raises(NoAnswer, match=r"^no answer in 0\.05 s$"):
        await opened.ask(MEMBER, within=0.05)
    assert wire.answers == []
    wire.answers = [stray, packet()]
    await opened.ask(MEMBER, within=5)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (packet(UNREACHABLE, source="10.0.0.254", code=1), "host unreachable"),
        (packet(UNREACHABLE, source="10.0.0.254", code=0), "network unreachable"),
        (packet(UNREACHABLE, source="10.0.0.254", code=13), "packet filtered"),
    ],
)
async def test_what_a_router_says(
    wire: Wire, opened: EchoSocket, said: ICMPReply, words: str
) -> None:
    wire.answers = [said]
    with pytest.raises(NoAnswer) as raised:
        await opened.ask(MEMBER, within=5)
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(101, "Network is unreachable"), "network is unreachable"),
        (PermissionError(1, "Operation not permitted"), "firewall"),
    ],
)
async def test_what_cannot_be_sent(
    wire: Wire, opened: EchoSocket, error: OSError, words: str
) -> None:
    wire.fails = error
    with pytest.raises(NoAnswer, match=words):
        await opened.ask(MEMBER, within=5)


async def test_requests_in_flight_have_numbers_of_their_own(wire: Wire, opened: EchoSocket) -> None:
    asking = [asyncio.create_task(opened.ask(MEMBER, within=0.1)) for _ in range(300)]
    await asyncio.wait(asking)
    assert len({request.sequence for request in wire.sent}) == 300
    assert all(isinstance(task.exception(), NoAnswer) for task in asking)
