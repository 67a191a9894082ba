"""One golden case: read from its file, and written back with what is rendered now."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import yaml

from lbaas.model.enums import (
    FleetKind,
    HealthMonitorType,
    LbMethod,
    Protocol,
    SessionPersistenceType,
)
from lbaas.model.objects import (
    Fleet,
    HealthMonitor,
    Member,
    Pool,
    PoolTree,
    Record,
    SessionPersistence,
    Vip,
)
from xds.translate import readable, translate

FOLDER = Path(__file__).parent / "cases"
SEPARATOR = "\n---\n"
NOTICE = "# What the translator makes of it. Not by hand: python -m tests.golden.rewrite\n"

Fields = dict[str, object]
_READERS = {
    "protocol": Protocol,
    "lb_method": LbMethod,
    "kind": FleetKind,
    **dict.fromkeys(("delay", "timeout", "drain_timeout", "ttl"), lambda s: timedelta(seconds=s)),
}


class _Dumper(yaml.SafeDumper):
    """Writes json_format's ordered dicts as what they are."""


_Dumper.add_representer(
    OrderedDict, lambda dumper, value: dumper.represent_dict(list(value.items()))
)
_Dumper.add_representer(
    str,
    lambda dumper, value: dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """What a file holds: `source` is the hand-written part, `expected` the other."""

    name: str
    source: str
    expected: str
    tree: PoolTree
    fleet: Fleet

    def rendered(self) -> str:
        """Gives what the translator makes of the case now, as the file should hold it."""
        resources = [
            {"objects": sorted(each.objects), "resource": readable(each.resource.body)}
            for each in translate(self.tree, self.fleet).values()
        ]
        return NOTICE + yaml.dump(resources, Dumper=_Dumper, sort_keys=False, width=98)


def read(path: Path, *, project: str = "acme") -> Case:
    """Reads a case's file; the expected part may be missing still.

    `project` is the project's id, unless the case names its own.
    """
    source, _, expected = path.read_text().partition(SEPARATOR)
    given = yaml.safe_load(source)
    project = given.pop("project", project)
    fleet = Fleet(**{"name": "fleets/edge", **_read(given.pop("fleet", {}))})
    return Case(path.stem, source, expected, _tree(f"projects/{project}", given), fleet)


def all_cases() -> Iterator[Case]:
    """Reads every case, by name."""
    return map(read, sorted(FOLDER.glob("*.yaml")))


def _tree(project: str, given: Mapping[str, object]) -> PoolTree:
    """Builds the tree from short ids; lists are sorted by name, as the store gives them."""
    unknown = given.keys() - {
        "pool",
        "members",
        "health_monitors",
        "vips",
        "leaving",
        "unreachable",
    }
    assert not unknown, f"a case has no {unknown}"
    pool = Pool(**_object(given["pool"], f"{project}/pools"))
    members = [Member(**_object(each, f"{pool.name}/members")) for each in given.get("members", ())]
    monitors = [
        HealthMonitor(**_monitor(each, project)) for each in given.get("health_monitors", ())
    ]
    vips, leaving = (
        [Vip(**_vip(each, project, pool)) for each in given.get(which, ())]
        for which in ("vips", "leaving")
    )
    return PoolTree(
        pool=pool,
        members=tuple(sorted(members, key=_name)),
        health_monitors=tuple(sorted(monitors, key=_name)),
        vips=tuple(sorted(vips, key=_name)),
        leaving=tuple(sorted(leaving, key=_name)),
        unreachable=frozenset(
            f"{pool.name}/members/{each}" for each in given.get("unreachable", ())
        ),
    )


def _monitor(given: Fields, project: str) -> Fields:
    defaults = {"delay": 5, "timeout": 2, "max_retries": 3}
    fields = _object({**defaults, **given}, f"{project}/healthMonitors")
    return {**fields, "type": HealthMonitorType(fields["type"])}


def _vip(given: Fields, project: str, pool: Pool) -> Fields:
    defaults = {"pool": pool.name, "protocol": pool.protocol, "port": 80}
    fields = _object({**defaults, **given}, f"{project}/vips")
    if persistence := fields.get("session_persistence"):
        persistence = _read(persistence)
        kind = SessionPersistenceType(persistence.pop("type"))
        fields["session_persistence"] = SessionPersistence(type=kind, **persistence)
    return fields


def _object(given: Fields, collection: str) -> Fields:
    fields = dict(given)
    name = f"{collection}/{fields.pop('id')}"
    uid = fields.pop("uid", f"uid of {name}")
    record = Record(uid=uid, deleted_rev=fields.pop("deleted_rev", 0))
    return {"name": name, "record": record, **_read(fields)}


def _read(fields: Fields) -> Fields:
    return {key: _READERS.get(key, lambda v: v)(value) for key, value in fields.items()}


def _name(each: Member | HealthMonitor | Vip) -> str:
    return each.name
