"""Names of the new kind, `xdstp://authority/type/id?context`: when two of them are one name.

They are names like any other, matched in full, except that the order of their context parameters
says nothing. Collections (`.../*`) are not offered: such a name exists if somebody published it.
"""

_SCHEME = "xdstp://"


def canonical(name: str) -> str:
    """Gives a name as it is kept and compared: context parameters sorted (rule 55, xDS TP1)."""
    if not name.startswith(_SCHEME) or "?" not in name:
        return name
    before, mark, directives = name.partition("#")
    path, asked, context = before.partition("?")
    return f"{path}{asked}{'&'.join(sorted(context.split('&')))}{mark}{directives}"
