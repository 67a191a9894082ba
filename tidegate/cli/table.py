"""What goes to stdout: a table for people, or JSON, YAML and names for programs."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tidegate.cli.failure import CommandError, did_you_mean
from tidegate.cli.json_value import JsonObject, JsonValue, text

_COLOURS = {
    "ACTIVE": "32",
    "ONLINE": "32",
    "SYNCED": "32",
    "ERROR": "31",
    "OFFLINE": "31",
    "REJECTED": "31",
    "LOST": "31",
    "DEGRADED": "33",
    "INACTIVE": "33",
    "PENDING": "33",
    "JOINING": "33",
    "PENDING_CREATE": "33",
    "PENDING_UPDATE": "33",
    "PENDING_DELETE": "33",
}


class Format(StrEnum):
    """How to print."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and what it shows of an object."""

    heading: str
    cell: Callable[[JsonObject], str]

    @classmethod
    def of(cls, heading: str, path: str) -> "Column":
        """Gives a column that shows the text at a path of the object."""
        return cls(heading, lambda row: text(row, path))


@dataclass(frozen=True, slots=True)
class Look:
    """How the user wants to see things: `-o`, `-c`, `--no-header`."""

    format: Format = Format.TABLE
    columns: tuple[str, ...] = ()
    header: bool = True


def chosen(look: Look, *, columns: Sequence[Column], wide: Sequence[Column]) -> list[Column]:
    """Gives the columns to print: those asked for by name, else the usual ones.

    Raises:
        CommandError: a column is not known; every unknown one is named.
    """
    known = {column.heading: column for column in (*columns, *wide)}
    asked = [name.strip().upper() for each in look.columns for name in each.split(",")]
    if unknown := [name for name in asked if name not in known]:
        raise CommandError(
            what="no such column",
            why=[f"{name}{did_you_mean(name, list(known))}" for name in unknown]
            + ["columns: " + ", ".join(known)],
        )
    if asked:
        return [known[name] for name in asked]
    return [*columns, *wide] if look.format is Format.WIDE else list(columns)


def lines(rows: Sequence[JsonObject], columns: Sequence[Column], *, header: bool) -> list[str]:
    """Gives the lines of a table: aligned, two spaces between, nothing cut off."""
    cells = [[column.cell(row).replace("\n", " ") for column in columns] for row in rows]
    if header:
        cells.insert(0, [column.heading for column in columns])
    widths = [max((len(line[i]) for line in cells), default=0) for i in range(len(columns))]
    first = 1 if header else 0
    return [
        "  ".join(
            _painted(cell, heading=index < first) + " " * (width - len(cell))
            for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for index, line in enumerate(cells)
    ]


def coloured(stream_is_terminal: bool) -> bool:
    """Tells whether colour is wanted: a terminal, and neither NO_COLOR nor a dumb one."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return stream_is_terminal and not plain


def _painted(cell: str, *, heading: bool) -> str:
    if not coloured(sys.stdout.isatty()):
        return cell
    code = "1" if heading else _COLOURS.get(cell, "")
    return f"\x1b[{code}m{cell}\x1b[0m" if code and cell else cell


def say(line: str) -> None:
    """Prints a line of data on stdout."""
    sys.stdout.write(line + "\n")


def tell(line: str) -> None:
    """Prints a line for people on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def print_json(answer: JsonValue) -> None:
    """Prints an answer as indented JSON."""
    say(json.dumps(answer, indent=2, ensure_ascii=False))


def print_yaml(answer: JsonValue) -> None:
    """Prints an answer as YAML, keys in the API's order."""
    import yaml  # noqa: PLC0415 - only here

    sys.stdout.write(yaml.safe_dump(answer, sort_keys=False, allow_unicode=True))


def print_rows(
    rows: Sequence[JsonObject],
    *,
    look: Look,
    columns: Sequence[Column],
    wide: Sequence[Column] = (),
) -> None:
    """Prints rows as a table, or only their names."""
    if look.format is Format.NAME:
        for row in rows:
            say(text(row, "name"))
        return
    for line in lines(rows, chosen(look, columns=columns, wide=wide), header=look.header):
        say(line)


def print_answer(
    answer: JsonObject,
    rows: Sequence[JsonObject],
    *,
    look: Look,
    columns: Sequence[Column],
    wide: Sequence[Column] = (),
) -> None:
    """Prints an RPC's answer: itself as JSON or YAML, else the rows in it."""
    if look.format is Format.JSON:
        print_json(answer)
    elif look.format is Format.YAML:
        print_yaml(answer)
    else:
        print_rows(rows, look=look, columns=columns, wide=wide)
