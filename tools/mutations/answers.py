"""Rules 10 to 23: nonces, ACKs, NACKs."""

from tools.mutations.mutation import Mutation

_CORE = "xds/cache/stream.py"
_ANSWERS = "xds/cache/answers.py"

_FLIGHT = """\
        flight = channel.flights.get(request.nonce)
        if flight is None:
            return  # spontaneous, stale, or never sent: no answer to anything (rules 11, 19, 21)
        del channel.flights[request.nonce]
"""

_TAKEN = """\
        if flight is None:
            return
        del channel.flights[flight.nonce]
"""

_OLDEST = "next(iter(channel.flights.values()), None)"

_RECEIVED = """\
        else:
            self._answer(channel, request, now)
"""

MUTATIONS = (
    Mutation(
        rule=10,
        breaks="every stream counts its nonces from one",
        file="xds/cache/compose.py",
        old="""nonce = f"{self._stream:x}.{self._nonce:x}\"""",
        new="""nonce = f"{self._nonce:x}\"""",
    ),
    Mutation(
        rule=11,
        breaks="a stale nonce answers what is under way",
        file=_CORE,
        old=_FLIGHT,
        new=f"""\
        flight = channel.flights.get(request.nonce) or {_OLDEST}
{_TAKEN}""",
    ),
    Mutation(
        rule=12,
        breaks="a first request with a nonce is taken for an ACK",
        file=_CORE,
        old="""\
        channel = state.channels.get(request.type_url)
        if channel is None:
""",
        new="""\
        channel = state.channels.get(request.type_url)
        if channel is None and request.nonce:
            return
        if channel is None:
""",
    ),
    Mutation(
        rule=13,
        breaks="an ACK is answered, if only with nothing",
        file=_CORE,
        old="""\
            answers.accepted(self._state, channel, flight)
""",
        new="""\
            answers.accepted(self._state, channel, flight)
            channel.owed = True
""",
    ),
    Mutation(
        rule=14,
        breaks="an error without words is none",
        file="xds/server/framing.py",
        old="""\
 if message.HasField("error_detail") else None,
        subscribe""",
        new="""\
 if message.error_detail.message else None,
        subscribe""",
    ),
    Mutation(
        rule=15,
        breaks="what was refused is sent again at once",
        file=_ANSWERS,
        old="""\
        state.rejected[key] = Rejection(version, text, good, now)
        report""",
        new="""\
        report""",
    ),
    Mutation(
        rule=16,
        breaks="a name once refused is refused in every version",
        file="xds/cache/state.py",
        old="""\
        return rejection if rejection.version == (wanted.version if wanted else "") else None
""",
        new="""\
        return rejection if wanted else None
""",
    ),
    Mutation(
        rule=17,
        breaks="the names of a NACK are not read",
        file=_CORE,
        old=_RECEIVED,
        new=f"""\
{_RECEIVED}\
            if request.error is not None:
                return
""",
    ),
    Mutation(
        rule=18,
        breaks="whoever names a version has accepted it",
        file=_CORE,
        old="        if request.error is None:\n",
        new="        if request.error is None or request.version_info:\n",
    ),
    Mutation(
        rule=19,
        breaks="a NACK with a stale nonce refuses what is under way",
        file=_CORE,
        old=_FLIGHT,
        new=f"""\
        flight = channel.flights.get(request.nonce)
        if flight is None and request.error is not None:
            flight = {_OLDEST}
{_TAKEN}""",
    ),
    Mutation(
        rule=20,
        breaks="a request with an unknown nonce is dropped, its names included",
        file=_CORE,
        old=_RECEIVED,
        new=f"""\
        elif request.nonce and request.nonce not in channel.flights:
            return
{_RECEIVED}""",
    ),
    Mutation(
        rule=21,
        breaks="a spontaneous request accepts what is under way",
        file=_CORE,
        old=_FLIGHT,
        new=f"""\
        flight = channel.flights.get(request.nonce)
        if flight is None and not request.nonce:
            flight = {_OLDEST}
{_TAKEN}""",
    ),
    Mutation(
        rule=22,
        breaks="what was in a refused response beside the culprit is taken for accepted",
        file=_ANSWERS,
        old="""\
        elif pending is not None and name not in channel.grouped:
            state.put(key)
""",
        new="""\
        elif pending is not None:
            state.learn(key, (resource,))
""",
    ),
    Mutation(
        rule=23,
        breaks="an answer is to the oldest response, whatever its nonce",
        file=_CORE,
        old=_FLIGHT,
        new=f"""\
        flight = {_OLDEST} if request.nonce else None
{_TAKEN}""",
    ),
)
