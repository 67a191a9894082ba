"""A member that is an application with sessions, and a client with a cookie jar."""

import base64
from collections import Counter
from dataclasses import dataclass, field

from tests.harness.http_client import Connection, Reply, fetch
from tests.harness.members import Member


class SessionApp(Member):
    """Answers with its name, records what it is sent, adds `headers` to its answers.

    With `cookie` set it starts a session, `<name>.<number>`, for whoever brings none of its own.

    Attributes:
        heads: the heads of the requests of traffic, as text, newest last.
        sessions: the values of its cookie that it was sent, own or not, with how often.
    """

    def __init__(self, name: str, host: str = "127.0.0.1", *, cookie: str = "") -> None:
        super().__init__(name, host)
        self.cookie = cookie
        self.headers: list[str] = []
        self.heads: list[str] = []
        self.sessions: Counter[str] = Counter()
        self._started = 0

    def answer(self, head: bytes) -> bytes:
        """The whole answer to one request."""
        whole = super().answer(head)
        text = head.decode("latin-1")
        if "user-agent: envoy/hc" in text.lower() or not whole:
            return whole
        self.heads.append(text)
        status, _, rest = whole.partition(b"\r\n")
        lines = [*self.headers, *self._session()]
        return b"\r\n".join([status, *(line.encode("latin-1") for line in lines), rest])

    def _session(self) -> list[str]:
        if not self.cookie:
            return []
        for crumb in self.last("cookie").split(";"):
            name, _, value = crumb.strip().partition("=")
            if name == self.cookie:
                self.sessions[value] += 1
                if value.startswith(f"{self.name}."):
                    return []
        self._started += 1
        return [f"set-cookie: {self.cookie}={self.name}.{self._started}; Path=/; HttpOnly"]

    def last(self, header: str) -> str:
        """The value of a header of the last request, "" if it had none."""
        for line in self.heads[-1].split("\r\n") if self.heads else ():
            name, _, value = line.partition(":")
            if name.lower() == header:
                return value.strip()
        return ""


@dataclass(slots=True)
class Browser:
    """A client that keeps its cookies (all are for every path), and every byte it was sent."""

    cookies: dict[str, str] = field(default_factory=dict)
    received: bytearray = field(default_factory=bytearray)

    async def get(self, address: str, **headers: str) -> Reply:
        """One request on a connection of its own."""
        return self._took(await fetch(address, **self._with_cookies(headers)))

    async def get_over(self, connection: Connection, **headers: str) -> Reply:
        """One request on a connection that goes on."""
        return self._took(await connection.request("/", headers=self._with_cookies(headers)))

    def _with_cookies(self, headers: dict[str, str]) -> dict[str, str]:
        kept = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return {"cookie": kept, **headers} if kept else headers

    def _took(self, reply: Reply) -> Reply:
        self.received += reply.head + reply.body
        for cookie in reply.set_cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return reply


def address_leaks(received: bytes, member: Member) -> list[bytes]:
    """The forms of a member's address that stand in what a client received.

    Its host and port as text, in base64 at any of the three alignments, and in Envoy's protobuf.
    """
    plain = member.address.encode()
    forms = [plain, f":{member.port}".encode(), str(member.port).encode()]
    for shift in range(3):
        # Without the characters that its neighbours decide too.
        encoded = base64.b64encode(b"\0" * shift + plain)
        forms.append(encoded.rstrip(b"=")[(shift * 8 + 5) // 6 : -1])
    return [form for form in forms if form in received]
