"""Every rule that an object can break by itself: pure, and all violations at once.

`check_<kind>(obj)` gives a tuple of `Violation`s, empty if the object is good. The caller puts
them into one `InvalidArgument`. Fields are the proto's paths, relative to the object. Rules that
need what is stored (does the pool exist, is the address free) are the store's.
"""

from lbaas.model.rules.addresses import (
    STRICT,
    AddressPolicy,
    check_member_address,
    check_vip_address,
    check_vip_ranges,
    in_ranges,
    is_loopback,
)
from lbaas.model.rules.bounds import choose
from lbaas.model.rules.changes import IMMUTABLE, changed_immutables, rendered
from lbaas.model.rules.health_monitor import check_health_monitor, expected_ranges
from lbaas.model.rules.member import check_member
from lbaas.model.rules.operator import check_fleet, check_quota, check_service_type
from lbaas.model.rules.pool import MAX_MONITORS, check_pool
from lbaas.model.rules.text import (
    check_cookie_name,
    check_host,
    check_labels,
    check_path,
    check_printable,
)
from lbaas.model.rules.tree import check_members, check_tree
from lbaas.model.rules.vip import check_vip, check_vip_against_pool

__all__ = [
    "IMMUTABLE",
    "MAX_MONITORS",
    "STRICT",
    "AddressPolicy",
    "changed_immutables",
    "check_cookie_name",
    "check_fleet",
    "check_health_monitor",
    "check_host",
    "check_labels",
    "check_member",
    "check_member_address",
    "check_members",
    "check_path",
    "check_pool",
    "check_printable",
    "check_quota",
    "check_service_type",
    "check_tree",
    "check_vip",
    "check_vip_address",
    "check_vip_against_pool",
    "check_vip_ranges",
    "choose",
    "expected_ranges",
    "in_ranges",
    "is_loopback",
    "rendered",
]
