"""Rules 60 to 65: clients that are slow, many, or back before they left; the end; polling."""

from tools.mutations.mutation import Mutation

_SERVER = "xds/server/server.py"
_STREAM = "xds/server/stream.py"

MUTATIONS = (
    Mutation(
        rule=60,
        breaks="a client is sent every change, though it answers none",
        file="xds/cache/channel.py",
        old="""\
        if self.type_url != CLUSTER or len(self.flights) >= MOST_IN_FLIGHT:
            return float("inf")
""",
        new="""\
        if self.type_url != CLUSTER or len(self.flights) >= MOST_IN_FLIGHT:
            return 0.0
""",
    ),
    Mutation(
        rule=61,
        breaks="all first answers are written at once",
        file=_STREAM,
        old="            elif self._place.its_turn:\n",
        new="            elif True:\n",
    ),
    Mutation(
        rule=62,
        breaks="a stream that ended stays in the cache",
        file=_STREAM,
        old="                self._cache.disconnect(self.core)\n",
        new="                pass\n",
    ),
    Mutation(
        rule=63,
        breaks="a node's new stream puts an end to the service of its old one",
        file="xds/cache/fleet.py",
        old="""\
        self.streams[stream] = None
""",
        new="""\
        self.streams = {one: None for one in self.streams if one.node.id != stream.node.id}
        self.streams[stream] = None
""",
    ),
    Mutation(
        rule=64,
        breaks="a server that stops ends its streams as if all were well",
        file=_SERVER,
        old="stream.end, grpc.StatusCode.UNAVAILABLE, reason",
        new="stream.end, grpc.StatusCode.OK, reason",
    ),
    Mutation(
        rule=65,
        breaks="polling is refused without a reason",
        file=_SERVER,
        old="            handlers[service.fetch] = polled\n",
        new="            pass\n",
    ),
)
