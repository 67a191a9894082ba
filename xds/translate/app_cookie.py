"""The application's own cookie, tagged with the id of the member that set it.

The tag stands before the value, inside its quotes if it has any: `NAME=<id>~value`. A cookie that
is set empty, which is how it is deleted, stays empty. Figures were measured on Envoy 1.40.0.
"""

from string import Template
from typing import Final, TypeAlias

from envoy.extensions.filters.http.composite.v3.composite_pb2 import ExecuteFilterAction
from envoy.extensions.filters.http.header_to_metadata.v3.header_to_metadata_pb2 import Config
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.type.matcher.v3.http_inputs_pb2 import (
    HttpRequestHeaderMatchInput,
    HttpResponseHeaderMatchInput,
)
from google.protobuf.message import Message

from xds.translate.endpoints import COOKIE_ID, METADATA
from xds.translate.extension import packed
from xds.type.matcher.v3.matcher_pb2 import Matcher

UNTAGGED: Final = "cookie"
"""In the request's metadata: the Cookie header without our tag."""

_ID: Final = "[0-9a-f]{16}"
_METADATA_LIMIT: Final = 8 * 1024
_Single: TypeAlias = Matcher.MatcherList.Predicate.SinglePredicate

_LUA: Final = Template(
    """\
local ID = ("[0-9a-f]"):rep(16)
function envoy_on_request(handle)
  local headers = handle:headers()
  local function untagged(before, name, quote, value)
    if name == "$name" then return before .. name .. "=" .. quote .. value end
  end
  local cookie = ";" .. (headers:get("cookie") or "")
  if #cookie <= $native + 1 then return end
  cookie = cookie:gsub('([;,]%s*)([^=;,%s]+)=("?)' .. ID .. "~([^;,]*)", untagged)
  headers:replace("cookie", cookie:sub(2))
end
function envoy_on_response(handle)
  local headers = handle:headers()
  local id = headers:get("$served_by")
  if not id then return end
  local cookies = {}
  for at = 0, headers:getNumValues("set-cookie") - 1 do
    local cookie = headers:getAtIndex("set-cookie", at)
    local name, quote, value = cookie:match('^([^=;%s]+)%s*=%s*("?)(.*)$$')
    if name == "$name" and value ~= "" and not value:match('^[";]') then
      cookie = name .. "=" .. quote .. id .. "~" .. value
    end
    cookies[at + 1] = cookie
  end
  headers:remove("set-cookie")
  for _, cookie in ipairs(cookies) do headers:add("set-cookie", cookie) end
end
"""
)


def read_tag(name: str) -> Config:
    """Gives what reads a member's id from the tag of the cookie `name`, and takes the tag off.

    The id and the whole Cookie header without tags come into the request's metadata. Native
    filters do both, so what a client sends back costs no Lua.
    """
    config = Config()
    tag = config.request_rules.add(cookie=name).on_header_present
    tag.metadata_namespace, tag.key = METADATA, COOKIE_ID
    tag.regex_value_rewrite.pattern.regex = f'^"?({_ID})~.*$'
    tag.regex_value_rewrite.substitution = r"\1"
    whole = config.request_rules.add(header="cookie").on_header_present
    whole.metadata_namespace, whole.key = METADATA, UNTAGGED
    # Several Cookie headers of one request, which RFC 6265 (5.4) forbids, come joined by commas.
    whole.regex_value_rewrite.pattern.regex = f'((?:^|[;,])\\s*{escaped(name)}="?){_ID}~'
    whole.regex_value_rewrite.substitution = r"\1"
    return config


def escaped(text: str) -> str:
    """Gives a pattern of RE2 that matches the text: cookie names may hold `$`, `*`, `+`, `^`..."""
    return "".join(each if each.isalnum() else f"\\{each}" for each in text)


def tagging(name: str, *, served_by: str) -> Matcher:
    """Gives what `composite` does: answers that set the cookie `name` are tagged, by Lua.

    `served_by` is the header that holds the id of the member that answers. Lua runs on these
    answers, and on requests too long for native filters, alone. It is one action for both: each
    has a Lua machine of its own in every worker, of some 0.2 MiB.
    """
    matcher = Matcher()
    entry = matcher.matcher_list.matchers.add()
    either = entry.predicate.or_matcher.predicate
    # Metadata holds no more than 8 KiB: a longer Cookie header still has its tag at this point,
    # and that is taken off by Lua.
    sent = HttpRequestHeaderMatchInput(header_name="cookie")
    _fill(either.add().single_predicate, "cookie", sent, contains="~")
    # Several values are matched as one, with commas between; Lua looks at each.
    answered = HttpResponseHeaderMatchInput(header_name="set-cookie")
    _fill(either.add().single_predicate, "set-cookie", answered, contains=name)
    action = ExecuteFilterAction()
    action.typed_config.name = "envoy.filters.http.lua"
    lua = Lua()
    # A token has neither quotes nor backslashes, so it can stand in Lua as it is.
    lua.default_source_code.inline_string = _LUA.substitute(
        name=name, served_by=served_by, native=_METADATA_LIMIT
    )
    action.typed_config.typed_config.CopyFrom(packed(lua))
    entry.on_match.action.name = "tag"
    entry.on_match.action.typed_config.CopyFrom(packed(action))
    return matcher


def _fill(predicate: _Single, name: str, header: Message, *, contains: str) -> None:
    predicate.input.name = name
    predicate.input.typed_config.CopyFrom(packed(header))
    predicate.value_match.contains = contains
