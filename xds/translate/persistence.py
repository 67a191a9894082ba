"""How a client is kept on its member by a cookie: filters in the listener, switched on per route.

The cookie holds an opaque id of the member. The route's metadata maps the id to the member's
address, which goes by a header of our own from `header_mutation` to `stateful_session` and no
further. What a tenant may change is in the route alone, so changing it cuts no connection: the
listener has every filter switched off and without content, and a route that names one in its
typed_per_filter_config switches it on there (Envoy 1.40.0).
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.common.matching.v3.extension_matcher_pb2 import (
    ExtensionWithMatcher,
    ExtensionWithMatcherPerRoute,
)
from envoy.extensions.filters.http.composite.v3.composite_pb2 import Composite
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import (
    HeaderMutation,
    HeaderMutationPerRoute,
)
from envoy.extensions.filters.http.header_to_metadata.v3.header_to_metadata_pb2 import (
    Config as HeaderToMetadata,
)
from envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSession,
    StatefulSessionPerRoute,
)
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,
)
from envoy.extensions.http.stateful_session.header.v3.header_pb2 import HeaderBasedSessionState
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message

from lbaas.model.enums import SessionPersistenceType
from lbaas.model.objects import Member, SessionPersistence
from xds.translate.app_cookie import UNTAGGED, read_tag, tagging
from xds.translate.endpoints import COOKIE_ID, METADATA, cookie_id
from xds.translate.extension import packed

HttpFilter = http_connection_manager_pb2.HttpFilter

DEFAULT_COOKIE: Final = "LBSESSION"
"""The name of our own cookie where the VIP names none."""

ADDRESSES: Final = "lbaas.addresses"
"""The route's metadata that maps a member's id to its address, as stateful_session reads it."""

COOKIES: Final = "lbaas.cookies"
"""The route's metadata that maps a member's id to the whole Set-Cookie value."""

TO_HOST: Final = "x-lb-host"
"""The header that brings the address to stateful_session, and that it answers with."""

SERVED_BY: Final = "x-lb-member"
"""The header that brings the serving member's id to what tags the application's cookie."""

_READ: Final = "envoy.filters.http.header_to_metadata"
_MUTATE: Final = "envoy.filters.http.header_mutation"
_PIN: Final = "envoy.filters.http.stateful_session"
_TAG: Final = "envoy.filters.http.composite"
_NOBODY: Final = "-"
_Append: TypeAlias = HeaderValueOption.HeaderAppendAction.ValueType
_OVERWRITE: Final = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

_OF_COOKIE: Final = f"metadata.filter_metadata['{METADATA}']['{COOKIE_ID}']"
_OF_SERVER: Final = f"xds.upstream_host_metadata.filter_metadata['{METADATA}']['{COOKIE_ID}']"
_ADDRESS: Final = f"%CEL(xds.route_metadata.filter_metadata['{ADDRESSES}'][{_OF_COOKIE}])%"
_SET_COOKIE: Final = (
    f"%CEL({_OF_COOKIE} == {_OF_SERVER} ? ''"
    f" : xds.route_metadata.filter_metadata['{COOKIES}'][{_OF_SERVER}])%"
)


def is_cookie(persistence: SessionPersistence | None) -> bool:
    """Tells whether a VIP with this persistence recognises its clients by a cookie."""
    return persistence is not None and persistence.type is not SessionPersistenceType.SOURCE_IP


def fill_route(route: Route, persistence: SessionPersistence, members: Iterable[Member]) -> None:
    """Switches persistence by cookie on for a route whose cluster has these members.

    All members that are endpoints: one that drains, or has weight 0, keeps its sessions.
    """
    by_id = {cookie_id(member.record.uid): member for member in members}
    addresses = route.metadata.filter_metadata[ADDRESSES].fields
    for key, member in by_id.items():
        addresses[key].string_value = _encoded(member)
    # After the filters, so that the member does not see it.
    route.request_headers_to_remove.append(TO_HOST)
    if persistence.type is SessionPersistenceType.HTTP_COOKIE:
        name = persistence.cookie_name or DEFAULT_COOKIE
        cookies = route.metadata.filter_metadata[COOKIES].fields
        for key in by_id:
            cookies[key].string_value = _set_cookie(name, key, persistence)
        _switch_on(route, _READ, _our_cookie(name))
        _switch_on(route, _MUTATE, _HTTP_MUTATIONS)
    else:
        name = persistence.cookie_name
        _switch_on(route, _READ, read_tag(name))
        _switch_on(route, _MUTATE, _APP_MUTATIONS)
        tag = ExtensionWithMatcherPerRoute(xds_matcher=tagging(name, served_by=SERVED_BY))
        _switch_on(route, _TAG, tag)
        route.response_headers_to_add.add().CopyFrom(
            _header(SERVED_BY, f"%UPSTREAM_METADATA({METADATA}:{COOKIE_ID})%")
        )
    _switch_on(route, _PIN, _SESSION)


def _encoded(member: Member) -> str:
    """Gives a member's address as stateful_session reads it from its header."""
    host = f"[{member.address}]" if ":" in member.address else member.address
    return b64encode(f"{host}:{member.port}".encode()).decode()


def _set_cookie(name: str, key: str, persistence: SessionPersistence) -> str:
    age = f"; Max-Age={int(persistence.ttl.total_seconds())}" if persistence.ttl else ""
    return f"{name}={key}{age}; Path=/; HttpOnly; SameSite=Lax"


def _our_cookie(name: str) -> HeaderToMetadata:
    """Reads the member's id from our cookie."""
    config = HeaderToMetadata()
    rule = config.request_rules.add(cookie=name)
    for found, value in ((rule.on_header_present, ""), (rule.on_header_missing, _NOBODY)):
        found.metadata_namespace, found.key, found.value = METADATA, COOKIE_ID, value
    return config


def _switch_on(route: Route, name: str, config: Message | Packed) -> None:
    box = config if isinstance(config, Packed) else packed(config)
    route.typed_per_filter_config[name].CopyFrom(box)


def _header(name: str, value: str, action: _Append = _OVERWRITE) -> HeaderValueOption:
    option = HeaderValueOption(append_action=action)
    option.header.key, option.header.value = name, value
    return option


def _filters() -> Sequence[HttpFilter]:
    # In the order of requests; answers pass in reverse. What `header_mutation` takes off answers
    # is thus there while the application's cookie is tagged.
    composite = ExtensionWithMatcher()
    composite.extension_config.name = _TAG
    composite.extension_config.typed_config.CopyFrom(packed(Composite()))
    contents: Sequence[tuple[str, Message]] = (
        (_READ, HeaderToMetadata()),
        (_MUTATE, HeaderMutation()),
        (_PIN, StatefulSession()),
        (_TAG, composite),
    )
    return [
        HttpFilter(name=name, disabled=True, typed_config=packed(content))
        for name, content in contents
    ]


def _mutations(request: Sequence[Mutation], response: Sequence[Mutation]) -> Packed:
    # A client's own headers of these names steer nothing, a member's tell nothing.
    ours = [Mutation(remove=TO_HOST), Mutation(remove=SERVED_BY)]
    per_route = HeaderMutationPerRoute()
    per_route.mutations.request_mutations.extend([*ours, *request])
    per_route.mutations.response_mutations.extend([*ours, *response])
    return packed(per_route)


def _session() -> Packed:
    per_route = StatefulSessionPerRoute()
    state = per_route.stateful_session.session_state
    state.name = "envoy.http.stateful_session.header"
    state.typed_config.CopyFrom(packed(HeaderBasedSessionState(name=TO_HOST)))
    return packed(per_route)


FILTERS: Final = _filters()
"""What every HTTP listener carries before its router, switched off."""

_TO_HOST: Final = Mutation(append=_header(TO_HOST, _ADDRESS))
_HTTP_MUTATIONS: Final = _mutations(
    [_TO_HOST],
    # Only when another member served than the cookie says; an empty value adds no header.
    [
        Mutation(
            append=_header("set-cookie", _SET_COOKIE, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD)
        )
    ],
)
_WITHOUT_TAG: Final = f"%DYNAMIC_METADATA({METADATA}:{UNTAGGED})%"
_APP_MUTATIONS: Final = _mutations(
    [
        _TO_HOST,
        Mutation(append=_header("cookie", _WITHOUT_TAG, HeaderValueOption.OVERWRITE_IF_EXISTS)),
    ],
    [],
)
_SESSION: Final = _session()
