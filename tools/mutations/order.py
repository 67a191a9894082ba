"""Rules 40 to 45: the order across types."""

from tools.mutations.mutation import Mutation

_GATES = "xds/cache/gates.py"
_COMPOSE = "xds/cache/compose.py"

MUTATIONS = (
    Mutation(
        rule=40,
        breaks="a listener waits for no cluster",
        file=_GATES,
        old="""\
    if state.gated():
        for cluster in clusters""",
        new="""\
    if False:
        for cluster in clusters""",
    ),
    Mutation(
        rule=41,
        breaks="a cluster is removed under the listener that uses it",
        file=_GATES,
        old="""\
        if state.cursor.opened(user.type_url):
            return Step(Verdict.WAIT, on=user)
""",
        new="",
    ),
    Mutation(
        rule=42,
        breaks="endpoints that did not change do not follow their cluster",
        file=_COMPOSE,
        old="""\
                self._endpoints_behind(cluster)
""",
        new="""\
                pass
""",
    ),
    Mutation(
        rule=43,
        breaks="endpoints wait until their cluster is accepted",
        file=_COMPOSE,
        old="""\
        while channel.urgent and len(channel.flights) < MOST_IN_FLIGHT:
""",
        new="""\
        clusters = self._state.channels.get(CLUSTER)
        if channel.type_url == ENDPOINT and clusters is not None and clusters.flights:
            return
        while channel.urgent and len(channel.flights) < MOST_IN_FLIGHT:
""",
    ),
    Mutation(
        rule=44,
        breaks="endpoints are pushed of clusters that the client has not",
        file=_GATES,
        old="        if not again and state.carries(CLUSTER) and not _cluster_held(state, key):\n",
        new="        if False:\n",
    ),
    Mutation(
        rule=45,
        breaks="nothing is no answer",
        file="xds/cache/greeting.py",
        old="        channel.owed = subscription.wildcard or not subscription.names\n",
        new="        channel.owed = False\n",
    ),
)
