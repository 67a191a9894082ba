"""An honest Envoy, as measured: what it holds, asks for, withholds, applies in part, forgets."""

from collections import deque

from tests.cache.messages import limits
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    RUNTIME,
    Key,
    Request,
    Resource,
    Response,
    empty_endpoints,
)
from xds.cache.resource import empty_runtime
from xds.cache.types import ADDRESS

TYPES = (RUNTIME, CLUSTER, ENDPOINT, LISTENER, ROUTE)

LAYER = "tidegate"
"""The runtime layer of an Envoy that is limited: it names the listeners that it may have."""


class Violation(AssertionError):
    """The server broke a promise."""


def targets(resource: Resource, type_url: str) -> set[str]:
    return {key.name for key in resource.references if key.type_url == type_url}


class Envoy:
    """One Envoy process: survives its streams."""

    def __init__(
        self, name: str, *, delta: bool, poison: dict[str, str], limited: bool = False
    ) -> None:
        self.name, self.delta, self.poison, self.limited = name, delta, poison, limited
        self.held: dict[str, dict[str, Resource]] = {type_url: {} for type_url in TYPES}
        self.listed: dict[str, dict[str, str]] = {type_url: {} for type_url in TYPES}
        self.version_info: dict[str, str] = {}
        self.names: dict[str, set[str]] = {ENDPOINT: set(), ROUTE: set(), RUNTIME: set()}
        if limited:
            self.names[RUNTIME].add(LAYER)
        self.muted = False
        self.serving: dict[str, str] = {}  # clusters that warm at a new version, by the old one
        self.start_stream()

    def start_stream(self) -> None:
        self.inbox: deque[Response] = deque()
        self.outbox: deque[Request] = deque()
        self.withheld: list[Request] = []
        self.warming: set[str] = set()
        self.nonce: dict[str, str] = {}
        self.asked: dict[str, set[str]] = {ENDPOINT: set(), ROUTE: set(), RUNTIME: set()}
        self.open: set[str] = set()
        self.received = 0

    def connect(self) -> None:
        self.start_stream()
        for type_url in TYPES:
            if type_url in (CLUSTER, LISTENER) or self.names[type_url]:
                self.greet(type_url)

    def greet(self, type_url: str) -> None:
        self.open.add(type_url)
        names = tuple(sorted(self.names.get(type_url, ())))
        self.asked.get(type_url, set()).update(names)
        if self.delta:
            listed = {k: v for k, v in self.listed[type_url].items() if k in self.held[type_url]}
            self.outbox.append(Request(type_url, subscribe=names, initial_versions=listed))
        else:
            version = self.version_info.get(type_url, "")
            self.outbox.append(Request(type_url, names=names, version_info=version))

    def ask(self, type_url: str, add: set[str], drop: set[str]) -> None:
        add, drop = add - self.names[type_url], drop & self.names[type_url]
        if not add and not drop:
            return
        self.names[type_url] = (self.names[type_url] | add) - drop
        self.asked[type_url] |= add
        for name in drop:
            self.held[type_url].pop(name, None)
            self.listed[type_url].pop(name, None)
        if type_url not in self.open:
            self.greet(type_url)
        elif self.delta:
            request = Request(
                type_url, subscribe=tuple(sorted(add)), unsubscribe=tuple(sorted(drop))
            )
            self.outbox.append(request)
        else:
            self.outbox.append(self.whole(type_url))

    def whole(self, type_url: str, error: str | None = None) -> Request:
        return Request(
            type_url,
            nonce=self.nonce.get(type_url, ""),
            error=error,
            names=tuple(sorted(self.names.get(type_url, ()))),
            version_info=self.version_info.get(type_url, ""),
        )

    def take(self) -> None:
        """Takes one response from the wire, applies it, answers (or withholds the answer)."""
        response = self.inbox.popleft()
        self.nonce[response.type_url] = response.nonce
        # A layer that does not exist is named again, or state of the world would wait for it.
        stand_in = empty_runtime(LAYER).version
        self.received += sum(one.version != stand_in for one in response.resources)
        names = [resource.key.name for resource in response.resources]
        if faults := [resource.key for resource in response.resources if resource.fault]:
            raise Violation(f"what breaks a constraint was sent: {faults}")
        if len(set(names)) != len(names) or set(names) & set(response.removed):
            raise Violation(f"duplicate names in a response (rule 50): {names}")
        error = self.apply(response)
        if error is None:
            self.version_info[response.type_url] = response.version
        if self.delta:
            answer = Request(response.type_url, nonce=response.nonce, error=error)
        else:
            answer = self.whole(response.type_url, error)
        if response.type_url == CLUSTER:
            self.withheld.append(answer)
        else:
            self.outbox.append(answer)
        self.release()
        self.check()

    def release(self) -> None:
        """Sends the CDS answers, unless a cluster warms: then Envoy withholds all of them."""
        if not self.warming and not self.muted:
            self.outbox.extend(self.withheld)
            self.withheld.clear()

    def apply(self, response: Response) -> str | None:
        type_url = response.type_url
        bad = {resource.key.name: self.faulty(resource) for resource in response.resources}
        whole = self.refusal_of_all(type_url, bad)
        if whole is not None:
            return whole
        removed = set(response.removed)
        if not self.delta and type_url in (CLUSTER, LISTENER):
            removed = set(self.held[type_url]) - set(bad)
        for name in removed:
            self.remove(type_url, name)
        for resource in response.resources:
            if bad[resource.key.name] is None:
                self.put(resource)
        guilty = sorted(name for name, mode in bad.items() if mode)
        if not guilty:
            for resource in response.resources:
                if resource.key.name in self.held[type_url]:
                    self.listed[type_url][resource.key.name] = resource.version
        self.react(type_url, [r for r in response.resources if bad[r.key.name] is None])
        return f"Error adding/updating {', '.join(guilty)}: bad" if guilty else None

    def refusal_of_all(self, type_url: str, bad: dict[str, str | None]) -> str | None:
        """Some faults make Envoy refuse a response as a whole, and some of those name nothing."""
        named = sorted(name for name, mode in bad.items() if mode)
        if not named or (type_url != ENDPOINT and "unnamed" not in bad.values()):
            return None
        if type_url == ENDPOINT:
            self.warm(set(bad))  # "allow startup to continue, even with a bad config"
        if "unnamed" in bad.values():
            return "Proto constraint validation failed"
        return f"malformed: {', '.join(named)}"

    def faulty(self, resource: Resource) -> str | None:
        everywhere = self.poison.get(f"*/{resource.version}")
        return everywhere or self.poison.get(f"{self.name}/{resource.version}")

    def remove(self, type_url: str, name: str) -> None:
        if type_url in (ENDPOINT, ROUTE):
            return  # Envoy ignores it: they go with what refers to them
        self.held[type_url].pop(name, None)
        self.listed[type_url].pop(name, None)
        self.warming.discard(name)

    def put(self, resource: Resource) -> None:
        type_url, name = resource.key
        old = self.held[type_url].get(name)
        if type_url in (ENDPOINT, ROUTE):
            if name not in self.asked[type_url]:
                raise Violation(f"{name} of {type_url} was never asked for (rule 44)")
            if name not in self.names[type_url]:
                return
        self.refuse_nonsense(resource, old)
        self.held[type_url][name] = resource
        if type_url == CLUSTER and (old is None or old.version != resource.version):
            if name not in self.warming:
                self.serving.pop(name, None)
                if old is not None:
                    self.serving[name] = old.version
            self.warming.add(name)
            if not self.delta and old is not None and ENDPOINT in self.open:
                self.outbox.append(self.whole(ENDPOINT))  # it repeats its last answer
        if type_url == ENDPOINT:
            self.warm({name})

    def config_dump(self) -> tuple[dict[str, str], dict[str, str]]:
        """The clusters that are active and those that warm, each with its version."""
        held = {name: resource.version for name, resource in self.held[CLUSTER].items()}
        active = {name: version for name, version in held.items() if name not in self.warming}
        warming = {name: version for name, version in held.items() if name in self.warming}
        return active | {n: self.serving[n] for n in warming if n in self.serving}, warming

    def refuse_nonsense(self, resource: Resource, old: Resource | None) -> None:
        type_url, name = resource.key
        if type_url == LISTENER and old is None and not self.may_listen(name):
            raise Violation(f"{name} is there before its limit")
        if type_url == LISTENER:
            for other in self.held[LISTENER].values():
                if other.key.name != name and targets(other, ADDRESS) & targets(resource, ADDRESS):
                    raise Violation(f"{name} has duplicate address of {other.key.name}")
        if type_url == ENDPOINT and old is not None and self.used(name):
            empty = empty_endpoints(name).version
            if resource.version == empty != old.version:
                raise Violation(f"{name} is emptied while it serves")

    def may_listen(self, listener: str) -> bool:
        """Whether it has a limit for a listener that it gets, or needs none."""
        return not self.limited or listener in self.layer()

    def layer(self) -> dict[str, float]:
        """The limits that it has, by listener."""
        held = self.held[RUNTIME].get(LAYER)
        return limits(held) if held else {}

    def used(self, endpoints: str) -> bool:
        """Whether a cluster with these endpoints serves a listener."""
        serving = set()
        for listener in self.held[LISTENER].values():
            serving |= targets(listener, CLUSTER)
            for route in targets(listener, ROUTE) & set(self.held[ROUTE]):
                serving |= targets(self.held[ROUTE][route], CLUSTER)
        clusters = [self.held[CLUSTER][name] for name in serving if name in self.held[CLUSTER]]
        return any(endpoints in targets(cluster, ENDPOINT) for cluster in clusters)

    def warm(self, names: set[str]) -> None:
        for cluster in self.held[CLUSTER].values():
            if names & targets(cluster, ENDPOINT):
                self.warming.discard(cluster.key.name)

    def react(self, type_url: str, applied: list[Resource]) -> None:
        below = {CLUSTER: ENDPOINT, LISTENER: ROUTE}.get(type_url)
        if below is None:
            return
        wanted: set[str] = set()
        for resource in self.held[type_url].values():
            wanted |= targets(resource, below)
        self.ask(below, wanted, self.names[below] - wanted)

    def check(self) -> None:
        """Invariant 5: a client never holds a reference without its target."""
        clusters = self.held[CLUSTER]
        for listener in self.held[LISTENER].values():
            needed = targets(listener, CLUSTER)
            for route in targets(listener, ROUTE):
                if route in self.held[ROUTE]:
                    needed |= targets(self.held[ROUTE][route], CLUSTER)
            if not needed <= set(clusters):
                raise Violation(f"{listener.key.name} needs {needed - set(clusters)}")

    def version(self, key: Key) -> str | None:
        resource = self.held[key.type_url].get(key.name)
        return resource.version if resource else None

    @property
    def applied_in_part(self) -> bool:
        """Whether it holds something that it does not list (fact c4)."""
        return any(
            self.listed[type_url].get(name) != resource.version
            for type_url in TYPES
            for name, resource in self.held[type_url].items()
        )
