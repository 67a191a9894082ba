"""One run of a command: what the common options said, and the means to act on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from tidegate.cli import settings
from tidegate.cli.failure import CommandError, did_you_mean
from tidegate.cli.json_value import JsonObject, objects, text
from tidegate.cli.nouns import PROJECT, noun_of, short_name
from tidegate.cli.shown import Show, shown
from tidegate.cli.table import Column, Look, print_answer, say

if TYPE_CHECKING:
    from tidegate.cli.client import Client

EVERY_PROJECT = "-"


class Wait(StrEnum):
    """What a write waits for."""

    APPLIED = "applied"
    """Every counted node of the fleet has confirmed the change."""
    HEALTHY = "healthy"
    """That, and then it serves: ONLINE, or NO_MONITOR where nothing watches it."""


class ShownInstead(Exception):
    """`--show` has printed the call; there is no answer to go on with."""


@dataclass(kw_only=True)
class Session:
    """The common options, resolved when they are needed."""

    command: str
    look: Look = field(default_factory=Look)
    server_option: str = ""
    project_option: str = ""
    show: Show | None = None
    wait: Wait | None = None
    timeout: float = 60.0
    dry_run: bool = False
    options: frozenset[str] = frozenset()

    @cached_property
    def server(self) -> str:
        """Gives the API's address."""
        return settings.server_of(self.server_option)

    @cached_property
    def project(self) -> str:
        """Gives the project's id, `-` for all of them."""
        return settings.project_of(self.project_option)

    @property
    def parent(self) -> str:
        """Gives the project's resource name."""
        return f"projects/{self.project}"

    def call(self, method: str, request: JsonObject) -> JsonObject:
        """Makes a call and gives its answer as proto3 JSON; with `--show` prints it instead.

        Args:
            method: `PoolService/CreatePool`.
            request: the request as proto3 JSON.

        Raises:
            ShownInstead: `--show` was given.
            CommandError: the call failed.
        """
        if self.show_only(method, request):
            raise ShownInstead
        return self.ask(method, request)

    def show_only(self, method: str, request: JsonObject) -> bool:
        """Prints the call if `--show` was given, and tells so."""
        if self.show is None:
            return False
        from tidegate.cli import client  # noqa: PLC0415 - grpc and protobuf cost 90 ms

        client.check(method, request)
        say(shown(self.show, server=self.server, method=f"lbaas.v1.{method}", request=request))
        return True

    @cached_property
    def client(self) -> "Client":
        """Gives the connection to the API."""
        from tidegate.cli.client import Client  # noqa: PLC0415 - grpc and protobuf cost 90 ms

        return Client(self.server, command=self.command, options=self.options)

    def close(self) -> None:
        """Ends the connection, if there is one."""
        if "client" in self.__dict__:
            self.client.close()

    def ask(self, method: str, request: JsonObject, *, timeout: float = 30.0) -> JsonObject:
        """Makes a call, whatever `--show` says; `timeout` in seconds.

        Raises:
            CommandError: the call failed; where something was not found, with the name that is
                most like it.
        """
        try:
            return self.client.call(method, request, timeout=timeout)
        except CommandError as error:
            if error.missing:
                error.what += self._similar(error.missing)
            raise

    def _similar(self, name: str) -> str:
        """Gives ` (did you mean ...?)` for a name that does not exist, "" if nothing is like it."""
        noun = noun_of(name)
        if noun is None or noun.word == "quota":
            return ""
        parent = name.rpartition("/")[0].rpartition("/")[0]
        request: JsonObject = {"parent": parent} if parent else {}
        method = f"{noun.service}/List{noun.plural}"
        try:
            answer = self.client.call(method, {**request, "pageSize": 1000}, timeout=5)
        except CommandError:  # the first error is the one to show
            return ""
        known = [short_name(text(each, "name")) for each in objects(answer, noun.field)]
        return did_you_mean(short_name(name), known)

    def everything(self, method: str, request: JsonObject, field: str) -> JsonObject:
        """Asks for all pages of a list, and gives them as one answer."""
        answer = self.call(method, {**request, "pageSize": 1000})
        collected = answer.get(field) or []
        token = answer.get("nextPageToken")
        while token and isinstance(collected, list):
            page = self.ask(method, {**request, "pageSize": 1000, "pageToken": token})
            more = page.get(field) or []
            collected = [*collected, *(more if isinstance(more, list) else [])]
            token = page.get("nextPageToken")
        return {**{k: v for k, v in answer.items() if k != "nextPageToken"}, field: collected}

    def print(
        self,
        answer: JsonObject,
        rows: Sequence[JsonObject],
        *,
        columns: Sequence[Column],
        wide: Sequence[Column] = (),
    ) -> None:
        """Prints an answer as the user asked; `--project -` shows whose each object is."""
        shown = (PROJECT, *columns) if self.project_option == EVERY_PROJECT else columns
        print_answer(answer, rows, look=self.look, columns=shown, wide=wide)
