"""Rules 1 to 9: streams, nodes, types."""

from tools.mutations.mutation import Mutation

_STREAM = "xds/server/stream.py"
_FRAMING = "xds/server/framing.py"
_CORE = "xds/cache/stream.py"

MUTATIONS = (
    Mutation(
        rule=1,
        breaks="every request must carry the node",
        file=_STREAM,
        old="""\
                request, _ = self._dialect.read(data, self.type_url)
""",
        new="""\
                request, node = self._dialect.read(data, self.type_url)
                if node is None:
                    raise Malformed("the node is missing")
""",
    ),
    Mutation(
        rule=2,
        breaks="a node without an id is let in",
        file=_STREAM,
        old="if node is None or not node.id:",
        new="if node is None:",
    ),
    Mutation(
        rule=3,
        breaks="no type on ADS means clusters",
        file=_FRAMING,
        old="""\
        raise Malformed("type_url is empty: on an aggregated stream each request names its type")
""",
        new="""\
        return "type.googleapis.com/envoy.config.cluster.v3.Cluster"
""",
    ),
    Mutation(
        rule=4,
        breaks="a service of one type takes another type for its own",
        file=_FRAMING,
        old="""if message.type_url not in ("", only):""",
        new="if False:",
    ),
    Mutation(
        rule=5,
        breaks="a nonce answers the type that it was sent with, whichever type the request names",
        file=_CORE,
        old="""\
        flight = channel.flights.get(request.nonce)
""",
        new="""\
        channels = self._state.channels.values()
        channel = next((one for one in channels if request.nonce in one.flights), channel)
        flight = channel.flights.get(request.nonce)
""",
    ),
    Mutation(
        rule=6,
        breaks="a type that is not known ends the stream",
        file=_FRAMING,
        old="""\
    return message.type_url
""",
        new="""\
    if "ScopedRoute" in message.type_url:
        raise Malformed("this type is not known")
    return message.type_url
""",
    ),
    Mutation(
        rule=7,
        breaks="what is asked for before clusters is ignored",
        file=_CORE,
        old="""\
        if not state.carries(request.type_url):
""",
        new="""\
        late = state.types is not None or state.channels or request.type_url.endswith("Cluster")
        if not state.carries(request.type_url) or not late:
""",
    ),
    Mutation(
        rule=8,
        breaks="a node in a later request is another node",
        file=_STREAM,
        old="""\
                request, _ = self._dialect.read(data, self.type_url)
""",
        new="""\
                request, node = self._dialect.read(data, self.type_url)
                self.node = node or self.node
""",
    ),
    Mutation(
        rule=9,
        breaks="what a client can do is not kept",
        file=_FRAMING,
        old="features=frozenset(node.client_features),",
        new="features=frozenset(),",
    ),
)
