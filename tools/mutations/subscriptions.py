"""Rules 25 to 39: what is asked for."""

from tools.mutations.mutation import Mutation

_SUBSCRIPTION = "xds/cache/subscription.py"

MUTATIONS = (
    Mutation(
        rule=25,
        breaks="no names from the start are no names",
        file=_SUBSCRIPTION,
        old="        if first and not wanted and self.type_url in FULL_SETS:\n",
        new="        if False:\n",
    ),
    Mutation(
        rule=26,
        breaks="a star is a name like others",
        file=_SUBSCRIPTION,
        old="        if WILDCARD in wanted:\n",
        new="        if False:\n",
    ),
    Mutation(
        rule=27,
        breaks="what is named beside a star is in the set twice",
        file="xds/cache/full_set.py",
        old="""\
            full.append(chosen)
""",
        new="""\
            full.append(chosen)
            if name in channel.subscription.names:
                full.append(chosen)
""",
    ),
    Mutation(
        rule=28,
        breaks="no names are all names, whatever was asked for before",
        file=_SUBSCRIPTION,
        old=" and not now and (first or self._legacy)",
        new=" and not now",
    ),
    Mutation(
        rule=29,
        breaks="a name ends the wildcard",
        file=_SUBSCRIPTION,
        old="""\
        ended = False
        if WILDCARD in dropped:
""",
        new="""\
        ended = False
        if wanted and not began:
            self.wildcard = False
        if WILDCARD in dropped:
""",
    ),
    Mutation(
        rule=30,
        breaks="whoever drops his last name asks for all",
        file=_SUBSCRIPTION,
        old="""\
        self.names.remove(known)
""",
        new="""\
        self.names.remove(known)
        if known and not self.names and self.type_url in FULL_SETS:
            self.wildcard = began = True
""",
    ),
    Mutation(
        rule=31,
        breaks="a name dropped under a wildcard is dropped in silence",
        file=_SUBSCRIPTION,
        old="named=(*wanted, *known)",
        new="named=tuple(wanted)",
    ),
    Mutation(
        rule=32,
        breaks="a name that was never asked for is dropped like others",
        file=_SUBSCRIPTION,
        old="known = [name for name in dropped if name in self.names]",
        new="known = list(dropped)",
    ),
    Mutation(
        rule=33,
        breaks="a name that is asked for already is not sent again",
        file=_SUBSCRIPTION,
        old="wanted = dict.fromkeys(subscribe)",
        new="wanted = dict.fromkeys(name for name in subscribe if name not in self.names)",
    ),
    Mutation(
        rule=34,
        breaks="a name that was dropped is known when it is asked for again",
        file=_SUBSCRIPTION,
        old="""\
        self.names.remove(dropped)
""",
        new="",
    ),
    Mutation(
        rule=35,
        breaks="names that are added wait for a change",
        file=_SUBSCRIPTION,
        old="return Asked(named=added, dropped=dropped)",
        new="return Asked(dropped=dropped)",
    ),
    Mutation(
        rule=36,
        breaks="a name twice is an error",
        file=_SUBSCRIPTION,
        old="""\
        dropped = dict.fromkeys(unsubscribe)
""",
        new="""\
        dropped = dict.fromkeys(unsubscribe)
        if len(wanted) != len(list(subscribe)):
            raise ValueError("a name twice")
""",
    ),
    Mutation(
        rule=37,
        breaks="no names are all names of every type",
        file=_SUBSCRIPTION,
        old="        if first and not wanted and self.type_url in FULL_SETS:\n",
        new="        if first and not wanted:\n",
    ),
    Mutation(
        rule=38,
        breaks="what comes into being is not pushed",
        file="xds/cache/cursor.py",
        old="""\
            if key.type_url not in self._opened:
                continue
            pending""",
        new="""\
            if key.type_url not in self._opened or old.get(key) is None:
                continue
            pending""",
    ),
    Mutation(
        rule=39,
        breaks="of what does not exist nothing is said",
        file="xds/cache/gates.py",
        old="return Step(Verdict.SEND, wanted) if again else NOTHING",
        new="return Step(Verdict.SEND, wanted) if again and wanted is not None else NOTHING",
    ),
)
