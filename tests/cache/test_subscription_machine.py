"""Hypothesis drives a client that does as it likes, against a model of what it must be told."""

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.cache.free_client import WILD, FreeClient
from tests.conformance.messages import make
from xds.cache import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    ROUTE,
    RUNTIME,
    SECRET,
    Key,
    NodeInfo,
    Request,
    Resource,
    SnapshotCache,
)

FLEET = "edge"
NAMES = ("a", "b", "c", "d")
SOME = st.sets(st.sampled_from([*NAMES, "never", "*"]), max_size=3)


class Machine(RuleBasedStateMachine):
    """One node, one type, one stream at a time."""

    @initialize(
        type_url=st.sampled_from([CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, RUNTIME]),
        delta=st.booleans(),
        single=st.booleans(),
        published=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)),
    )
    def start(self, type_url, delta, single, published):
        self.type_url = type_url
        self.types = frozenset({type_url}) if single else None
        self.cache = SnapshotCache()
        self.cache.advance(FLEET, 0, {})
        self.now, self.revision = 100.0, 0
        self.client = FreeClient(type_url, delta, published={})
        self.connect()
        self.publish(published)

    def connect(self) -> None:
        self.stream = self.cache.connect(
            fleet=FLEET,
            node=NodeInfo("n1"),
            delta=self.client.delta,
            now=self.now,
            types=self.types,
        )

    def run(self) -> int:
        responses = self.stream.run(self.now)
        for response in responses:
            self.client.receives(response)
        return len(responses)

    def request(self, **fields) -> None:
        self.stream.receive(Request(self.type_url, **fields), self.now)

    def ask(self, names, dropped=frozenset(), **fields) -> None:
        """One request, with whatever it answers."""
        client = self.client
        if client.delta:
            if self.type_url not in WILD:
                names, dropped = names - {"*"}, dropped - {"*"}
            dropped = dropped - names
            client.asks(names, dropped)
            fields |= {"subscribe": tuple(names), "unsubscribe": tuple(dropped)}
        else:
            if self.type_url not in WILD:
                names = names - {"*"}
            client.names_all(names)
            fields.setdefault("version_info", client.version)
            fields |= {"names": tuple(names)}
        self.request(**fields)
        self.run()

    def same_names(self):
        """What a request says that changes nothing of what is asked for."""
        client = self.client
        if client.delta:
            return set()
        return client.names | ({"*"} if client.wildcard and client.named_once else set())

    @rule(tags=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2)))
    def publish(self, tags):
        """Makes `tags` all there is."""
        wanted = {name: Resource.of(make(self.type_url, name, tag)) for name, tag in tags.items()}
        changes = {Key(self.type_url, name): wanted.get(name) for name in NAMES}
        self.revision += 1
        self.cache.advance(FLEET, self.revision, changes)
        self.client.published.clear()
        self.client.published.update({name: one.version for name, one in wanted.items()})
        for name in NAMES:
            self.client.changed(name)
        self.run()

    @rule(
        tags=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2), min_size=1),
        picks=st.sets(st.integers(0, 3), min_size=1),
        wordless=st.booleans(),
    )
    def publish_and_refuse(self, tags, picks, wordless):
        """The client accepts what came before, and refuses what comes now."""
        if not self.client.started:
            return
        while self.client.unanswered:
            self.accept(0, None)
        self.publish(tags)
        if self.client.unanswered:
            self.refuse(len(self.client.unanswered) - 1, picks, None, wordless)

    @rule(names=SOME, dropped=SOME)
    def change_names(self, names, dropped):
        """A spontaneous request; the first of a stream begins it."""
        if self.client.started or self.client.delta:
            self.ask(names, dropped if self.client.started else frozenset())
        else:
            self.ask(names)

    @rule(names=SOME, nonce=st.sampled_from(["", "stale", "older"]))
    def answer_nothing(self, names, nonce):
        """A nonce of no response, or of one that was answered, with names or an error."""
        if not self.client.started:
            return
        seen = self.client.seen_nonces
        pending = {one.nonce for one in self.client.unanswered}
        done = [one for one in seen if one not in pending]
        if nonce == "older" and done:
            nonce = done[0]
        self.ask(names, nonce=nonce, error=None if nonce == "" else "a: no")

    @precondition(lambda self: self.client.unanswered)
    @rule(at=st.integers(0, 5), names=st.none() | SOME)
    def accept(self, at, names):
        answer = self.client.unanswered.pop(at % len(self.client.unanswered))
        self.client.accepts(answer)
        self.client.version = answer.nonce  # what it says is no business of the server's
        self.ask(self.same_names() if names is None else names, nonce=answer.nonce)

    @precondition(lambda self: self.client.unanswered)
    @rule(
        at=st.integers(0, 5),
        picks=st.sets(st.integers(0, 3), min_size=1),
        names=st.none() | SOME,
        wordless=st.booleans(),
    )
    def refuse(self, at, picks, names, wordless):
        """Names the culprits; of a response that holds one name it need not."""
        at %= len(self.client.unanswered)
        answer = self.client.unanswered[at]
        possible = self.client.may_refuse(answer)
        guilty = {possible[pick % len(possible)] for pick in picks} if possible else set()
        if not guilty:
            return
        del self.client.unanswered[at]
        self.client.refuses(answer, guilty)
        words = ", ".join(f"{name}: no" for name in sorted(guilty))
        if wordless and len(answer.entries) == 1:
            words = "no"
        self.ask(self.same_names() if names is None else names, nonce=answer.nonce, error=words)

    @rule(names=SOME, remembering=st.booleans(), calm=st.booleans())
    def reconnect(self, names, remembering, calm):
        """Comes back with all that it held or with nothing, in the midst of things or not."""
        if calm:
            self.settle()
        self.cache.disconnect(self.stream)
        held = self.client.back(remembering=remembering)
        self.connect()
        if self.client.delta:
            self.ask(names, initial_versions=held)
        else:
            self.ask(names)

    @rule(seconds=st.sampled_from([0.1, 0.3, 1.1, 6.0]))
    def tick(self, seconds):
        self.now += seconds
        self.run()

    @rule()
    def settle(self):
        """Everything is accepted, time passes: all is told, and then there is silence."""
        client = self.client
        if not client.started:
            return
        for _ in range(100):
            while client.unanswered:
                self.accept(0, None)
            self.now += 6.0
            if not self.run():
                break
        else:
            raise AssertionError("it never ends")
        client.check()
        self.now += 60.0
        assert self.run() == 0

    def teardown(self):
        if hasattr(self, "client"):
            self.settle()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    print_blob=False,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
