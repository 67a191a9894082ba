"""A client of one type that does as it likes, and what it must have been told: a model of its own.

It knows nothing of the server's core: what is asked for follows the protocol's text, and what a
response says is written into a log, name by name. `check` says what the server owes it by then.
"""

from dataclasses import dataclass, field

from xds.cache import CLUSTER, LISTENER, Response
from xds.cache.resource import empty_runtime
from xds.cache.types import RUNTIME

WILD = (CLUSTER, LISTENER)
NOTHING = ""
"""What stands in the log for a name that was said not to exist."""


@dataclass
class Entry:
    """One time that a name was spoken of; `stands`: nobody has refused it.

    `doubtful`: the client says that it holds it, and the server may have reason not to believe it.
    """

    version: str
    stands: bool = True
    doubtful: bool = False


@dataclass
class Unanswered:
    nonce: str
    entries: dict[str, Entry]


@dataclass
class FreeClient:
    """What one client asks for, was told and refused.

    `owed`: names that were asked for since they were last spoken of. `refused`: versions that are
    not to be sent again; `once_refused`: those that need not be, for the name changed meanwhile and
    is back at what was refused.
    """

    type_url: str
    delta: bool
    published: dict[str, str]
    refused: dict[str, set[str]] = field(default_factory=dict)
    once_refused: dict[str, set[str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    wildcard: bool = False
    started: bool = False
    named_once: bool = False
    owed: set[str] = field(default_factory=set)
    log: dict[str, list[Entry]] = field(default_factory=dict)
    unanswered: list[Unanswered] = field(default_factory=list)
    seen_nonces: list[str] = field(default_factory=list)
    empty_allowed: bool = False
    version: str = ""

    def back(self, *, remembering: bool) -> dict[str, str]:
        """Comes back on another stream; gives what it says that it holds."""
        held = self.held() if remembering else {}
        doubtful = bool(self.unanswered) or any(self.refused.values())
        self.log = {name: [Entry(one, doubtful=doubtful)] for name, one in held.items()}
        self.names, self.owed = set(), set()
        self.wildcard = self.started = self.named_once = False
        self.unanswered, self.seen_nonces = [], []
        if not remembering:
            self.version = ""
        return held

    def asks(self, subscribe: set[str], unsubscribe: set[str]) -> None:
        """Follows a delta request."""
        first, self.started = not self.started, True
        if first:
            self.empty_allowed = True
        if "*" in subscribe or (first and not subscribe and self.type_url in WILD):
            self.empty_allowed = self.empty_allowed or not self.wildcard
            self.wildcard = True
        if "*" in unsubscribe:
            self.wildcard = False
        for name in subscribe - {"*"}:
            self.names.add(name)
            if not first or name not in self.log:  # at first it may say that it holds it
                self.owed.add(name)
        for name in unsubscribe - {"*"}:
            if name in self.names:
                self.names.remove(name)
                if self.wildcard:
                    self.owed.add(name)  # it is still asked for: it must be said what it is
        self._forget()

    def names_all(self, names: set[str]) -> None:
        """Follows a request of state of the world."""
        first, self.started = not self.started, True
        if first:
            self.empty_allowed = True
        self.named_once = self.named_once or bool(names)
        legacy = self.type_url in WILD and not self.named_once
        before, self.wildcard = self.wildcard, legacy or "*" in names
        new = names - {"*"} - self.names - (set(self.log) if first else set())
        if not before or not self.wildcard:
            self.owed |= new
        if self.wildcard and not before:
            self.empty_allowed = True
        if new:
            self.empty_allowed = True  # of a full set, in which there may be nothing
        self.names = names - {"*"}
        self._forget()

    def covers(self, name: str) -> bool:
        return self.wildcard or name in self.names

    def _forget(self) -> None:
        """What is not asked for any more is not held either."""
        for name in [name for name in self.log if not self.covers(name)]:
            del self.log[name]
        for answer in self.unanswered:
            answer.entries = {
                name: entry for name, entry in answer.entries.items() if self.covers(name)
            }
        self.owed = {name for name in self.owed if self.covers(name)}

    def receives(self, response: Response) -> None:
        """Checks a response by itself and writes it into the log."""
        assert response.nonce not in self.seen_nonces
        self.seen_nonces.append(response.nonce)
        sent = {
            one.key.name: self._version(one.key.name, one.version) for one in response.resources
        }
        spoken_of = [one.key.name for one in response.resources] + list(response.removed)
        assert len(spoken_of) == len(set(spoken_of)), "a name is in a response twice"
        assert all(self.covers(name) for name in spoken_of), "sent what was not asked for"
        sent.update(dict.fromkeys(response.removed, NOTHING))
        if not self.delta and self.type_url in WILD:
            sent.update({name: NOTHING for name in self.log if name not in sent})
        self._is_news(sent)
        for name, version in sent.items():
            assert version == NOTHING or version not in self.refused.get(name, ()), (
                f"{name} is sent again in the version refused"
            )
        self.empty_allowed = False
        entries = {name: Entry(version) for name, version in sent.items()}
        for name, entry in entries.items():
            self.log.setdefault(name, []).append(entry)
            self.owed.discard(name)
        if not self.delta and self.type_url in WILD:
            self.owed.clear()
        self.unanswered.append(Unanswered(response.nonce, entries))

    def _version(self, name: str, version: str) -> str:
        nothing = self.type_url == RUNTIME and version == empty_runtime(name).version
        return NOTHING if nothing else version

    def _is_news(self, sent: dict[str, str]) -> None:
        """A response says something that was not said before, or that was asked for again."""
        news = {
            name
            for name, version in sent.items()
            if name in self.owed
            or name not in self.log
            or self.log[name][-1].doubtful
            or not self.log[name][-1].stands
            or self.log[name][-1].version != version
        }
        assert news or self.empty_allowed or self.owed, f"nothing new is in {sent}"
        if self.delta:
            assert news == set(sent), f"sent again unasked: {set(sent) - news}"

    def accepts(self, answer: Unanswered) -> None:
        for name, entry in answer.entries.items():
            for refused in (self.refused, self.once_refused):
                refused.get(name, set()).discard(entry.version)

    def refuses(self, answer: Unanswered, guilty: set[str]) -> None:
        """What was in a refused response does not stand: the culprits, and all beside them."""
        for name, entry in answer.entries.items():
            entry.stands = False
            if name in guilty:
                self.once_refused.setdefault(name, set()).add(entry.version)
                if self.published.get(name) == entry.version:  # else it changed meanwhile
                    self.refused.setdefault(name, set()).add(entry.version)

    def may_refuse(self, answer: Unanswered) -> list[str]:
        """Names that are new to the client in this response: it cannot refuse what it holds."""
        return sorted(
            name
            for name, entry in answer.entries.items()
            if entry.version != NOTHING
            and not any(
                other.version == entry.version and other is not entry
                for other in self.log.get(name, ())
                if other.stands
            )
        )

    def changed(self, name: str) -> None:
        """What is published of a name changed: what was refused before may come again."""
        wanted = self.published.get(name)
        if wanted is None and not self.delta and self.type_url not in WILD:
            for entry in self.log.get(name, ()):  # it went, and there is no word for that
                entry.doubtful = True
        self.refused[name] = {one for one in self.refused.get(name, ()) if one == wanted}

    def held(self) -> dict[str, str]:
        """What the client holds: of each name the newest that stands."""
        result = {}
        for name, entries in self.log.items():
            standing = [entry.version for entry in entries if entry.stands]
            if standing and standing[-1] != NOTHING:
                result[name] = standing[-1]
        return result

    def check(self) -> None:
        """After all was answered: every name asked for is known as it is."""
        assert not self.unanswered
        said = self.log or (self.version and not self.delta)
        assert self.seen_nonces or said, "nothing was ever answered"
        held = self.held()
        wanted = self.names | (set(self.published) | set(held) if self.wildcard else set())
        for name in wanted:
            version = self.published.get(name)
            if version is not None and version in self.refused.get(name, ()):
                assert held.get(name) != version
            elif version in self.once_refused.get(name, ()):
                continue
            elif version is not None:
                assert held.get(name) == version, f"{name} is not known as it is"
            elif self.delta or self.type_url in WILD:
                assert name not in held, f"{name} is gone, and nobody said so"
        if self.delta:
            unsaid = {
                name
                for name in self.owed
                if self.published.get(name) not in self.once_refused.get(name, ())
            }
            assert not unsaid, f"asked for and not spoken of: {unsaid}"
