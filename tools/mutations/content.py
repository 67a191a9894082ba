"""Rules 47 to 59: what is in a response."""

from tools.mutations.mutation import Mutation

_COMPOSE = "xds/cache/compose.py"
_GREETING = "xds/cache/greeting.py"
_FRAMING = "xds/server/framing.py"

MUTATIONS = (
    Mutation(
        rule=47,
        breaks="of listeners and clusters only what changed is in a set",
        file=_COMPOSE,
        old="yield from self._send(channel, batch, now, full=full, kept=kept)",
        new="yield from self._send(channel, batch, now, kept=kept)",
    ),
    Mutation(
        rule=48,
        breaks="endpoints come as full sets too",
        file=_COMPOSE,
        old="        if type_url in FULL_SETS:\n",
        new="        if type_url in FULL_SETS or type_url == ENDPOINT:\n",
    ),
    Mutation(
        rule=49,
        breaks="what went is not named",
        file=_COMPOSE,
        old="""\
            removed=tuple(name for name, resource in batch.entries.items() if resource is None)
            if state.delta
            else (),
""",
        new="""\
            removed=(),
""",
    ),
    Mutation(
        rule=50,
        breaks="the first resource is there twice",
        file=_FRAMING,
        old="""\
    for resource in response.resources:
        entry = """,
        new="""\
    for resource in (*response.resources[:1], *response.resources):
        entry = """,
    ),
    Mutation(
        rule=51,
        breaks="every process has versions of its own",
        file="xds/cache/resource.py",
        old="blake2b(body, digest_size=12)",
        new="blake2b(body + str(id(body)).encode(), digest_size=12)",
    ),
    Mutation(
        rule=52,
        breaks="every change sends everything",
        file="xds/cache/fleet.py",
        old="""\
        for stream in self.streams:
            stream.on_dirty()
""",
        new="""\
        for stream in self.streams:
            for channel in stream._state.channels.values():
                channel.urgent.update(dict.fromkeys(self.base.of_type(channel.type_url)))
            stream.on_dirty()
""",
    ),
    Mutation(
        rule=53,
        breaks="what a client says it holds is not read",
        file=_GREETING,
        old="    for name, version in request.initial_versions.items():\n",
        new="    for name, version in ():\n",
    ),
    Mutation(
        rule=54,
        breaks="a version that nobody knows is taken for the newest",
        file=_GREETING,
        old="""\
            resource = Resource.foreign(key, version)
""",
        new="""\
            resource = state.cursor.base.get(key) or Resource.foreign(key, version)
""",
    ),
    Mutation(
        rule=55,
        breaks="names differ by the order of their context parameters",
        file="xds/cache/xdstp.py",
        old="'&'.join(sorted(context.split('&')))",
        new="context",
    ),
    Mutation(
        rule=56,
        breaks="a resource has a time to live that nobody prolongs",
        file=_FRAMING,
        old="""\
        entry.resource.MergeFromString(resource.body)
""",
        new="""\
        entry.resource.MergeFromString(resource.body)
        entry.ttl.seconds = 60
""",
    ),
    Mutation(
        rule=57,
        breaks="a response does not say whose it is",
        file=_FRAMING,
        old="""\
    message.control_plane.identifier = CONTROL_PLANE
    for resource in response.resources:
        entry = """,
        new="""\
    for resource in response.resources:
        entry = """,
    ),
    Mutation(
        rule=58,
        breaks="a delta response has no version",
        file=_FRAMING,
        old="        system_version_info=response.version,\n",
        new="",
    ),
    Mutation(
        rule=59,
        breaks="a response is as large as what there is to say",
        file=_COMPOSE,
        old="BYTES = 1 << 20\n",
        new="BYTES = 1 << 40\n",
    ),
)
