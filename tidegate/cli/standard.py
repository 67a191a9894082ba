"""The verbs that all nouns have alike: get, list, delete; and how create and update are sent."""

from collections.abc import Mapping
from typing import Annotated

import typer

from tidegate.cli.failure import CommandError
from tidegate.cli.json_value import JsonObject, JsonValue, given, objects
from tidegate.cli.nouns import Noun, full_name
from tidegate.cli.receipt import is_applied_to_nodes, written
from tidegate.cli.session import Session
from tidegate.cli.verbs import verb

Etag = Annotated[
    str | None, typer.Option("--etag", metavar="ETAG", help="Only if the object is still this one.")
]
Filter = Annotated[
    str | None, typer.Option("--filter", metavar="TERMS", help="Only these: field = value AND ...")
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be repeated.")
]
DisplayName = Annotated[
    str | None, typer.Option("--display-name", metavar="TEXT", help="A name for people.")
]
Description = Annotated[
    str | None, typer.Option("--description", metavar="TEXT", help="Free text.")
]
AdminState = Annotated[
    bool | None, typer.Option("--admin-up/--admin-down", help="Switch it on or off.")
]


def parent_of(session: Session, noun: Noun) -> JsonObject:
    """Gives the request's `parent` for a noun right under the project; none for operators'."""
    return {"parent": session.parent} if noun.kind.pattern.startswith("projects/") else {}


def name_of(session: Session, noun: Noun, short: str) -> str:
    """Gives the resource name; the project is asked for only where the name needs one."""
    needs = noun.kind.pattern.startswith("projects/") and not noun.kind.parse(short)
    return full_name(noun, short, session.project if needs else "")


def get_verb(app: typer.Typer, noun: Noun, *, example: str) -> None:
    """Adds `get`."""

    @verb(
        app,
        "get",
        words=f"tidegate {noun.word} get",
        example=f"tidegate {noun.word} get {example}",
        help=f"Show one {noun.word}.",
    )
    def get(session: Session, name: Annotated[str, typer.Argument(metavar=noun.shape)]) -> None:
        answer = session.call(
            f"{noun.service}/Get{noun.title}", {"name": name_of(session, noun, name)}
        )
        session.print(answer, [answer], columns=noun.columns, wide=noun.wide)


def list_verb(app: typer.Typer, noun: Noun) -> None:
    """Adds `list`."""

    @verb(
        app,
        "list",
        words=f"tidegate {noun.word} list",
        example=f"tidegate {noun.word} list\ntidegate {noun.word} list -o wide --no-header",
        help=f"List all {noun.word}s, by name.",
    )
    def list_(session: Session, filter_: Filter = None) -> None:
        print_list(session, noun, {**parent_of(session, noun), **given({"filter": filter_})})


def print_list(session: Session, noun: Noun, request: JsonObject) -> None:
    """Asks for all of a noun's objects and prints them."""
    answer = session.everything(f"{noun.service}/List{noun.plural}", request, noun.field)
    session.print(answer, objects(answer, noun.field), columns=noun.columns, wide=noun.wide)


def delete_verb(app: typer.Typer, noun: Noun, *, example: str) -> None:
    """Adds `delete`."""

    @verb(
        app,
        "delete",
        words=f"tidegate {noun.word} delete",
        example=f"tidegate {noun.word} delete {example}",
        help=f"Delete a {noun.word}.",
        writes=True,
        waits=is_applied_to_nodes(noun),
    )
    def delete(
        session: Session,
        name: Annotated[str, typer.Argument(metavar=noun.shape)],
        etag: Etag = None,
    ) -> None:
        request = given({"name": name_of(session, noun, name), "etag": etag})
        written(session, noun, f"{noun.service}/Delete{noun.title}", request, "deleted")


def created(session: Session, noun: Noun, short: str, fields: Mapping[str, JsonValue]) -> None:
    """Creates an object with the fields that were given."""
    name = name_of(session, noun, short)
    collection, _, object_id = name.rpartition("/")
    parent = collection.rpartition("/")[0]
    request: JsonObject = {"parent": parent} if parent else {}
    request |= {noun.id_field: object_id, noun.object_field: given(fields)}
    written(session, noun, f"{noun.service}/Create{noun.title}", request, "created")


def updated(
    session: Session,
    noun: Noun,
    short: str,
    fields: Mapping[str, JsonValue],
    *,
    etag: str | None = None,
    cleared: tuple[str, ...] = (),
) -> None:
    """Updates the fields that were given; `cleared` are masked and left empty.

    Raises:
        CommandError: nothing was given.
    """
    changes = given(fields)
    mask = [*changes, *cleared]
    if not mask:
        raise CommandError(
            "nothing to change",
            why=["say at least one option that changes something"],
            following=[f"{session.command} --help"],
        )
    body: JsonObject = {"name": name_of(session, noun, short), **given({"etag": etag}), **changes}
    request: JsonObject = {noun.object_field: body, "updateMask": ",".join(mask)}
    written(session, noun, f"{noun.service}/Update{noun.title}", request, "updated")


def labels_of(pairs: list[str] | None, *, option: str = "--label") -> JsonObject | None:
    """Gives `KEY=VALUE` pairs as a map, None for none given.

    Raises:
        CommandError: a pair has no `=`; every such pair is named.
    """
    if not pairs:
        return None
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise CommandError(
            f"{option}: write KEY=VALUE", why=[f"{pair!r} has no '='" for pair in wrong]
        )
    return {key: value for key, _, value in (pair.partition("=") for pair in pairs)}


def words_of(values: list[str] | None) -> list[JsonValue] | None:
    """Gives repeated and comma-separated values as one list, None for none given."""
    if not values:
        return None
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def members_parent(session: Session, pool: str, pool_noun: Noun) -> str:
    """Gives the parent of a pool's members; `-` for all pools."""
    return f"{session.parent}/pools/-" if pool == "-" else name_of(session, pool_noun, pool)
