"""Where the command line talks to, and for which project: options, environment, context file."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tidegate.cli.failure import CommandError, did_you_mean

DEFAULT_SERVER = "127.0.0.1:18090"


@dataclass(frozen=True, slots=True)
class Context:
    """What the context file says; "" where it says nothing."""

    project: str = ""
    server: str = ""


def context_path() -> Path:
    """Gives the context file's path (XDG base directories)."""
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "tidegate" / "context"


def read_context() -> Context:
    """Reads the context file: TOML with `project` and `server`, both optional.

    Raises:
        CommandError: the file is not TOML, or holds something else.
    """
    path = context_path()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return Context()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}", why=[str(error)]) from error
    known = ("project", "server")
    wrong = [f"{key}: unknown{did_you_mean(key, known)}" for key in content if key not in known]
    wrong += [
        f"{key}: has to be a text in quotes"
        for key in known
        if not isinstance(content.get(key, ""), str)
    ]
    if wrong:
        raise CommandError(f"cannot use {path}", why=wrong)
    return Context(project=content.get("project", ""), server=content.get("server", ""))


def server_of(option: str) -> str:
    """Gives the API's address: `--server` or TIDEGATE_SERVER, the context file, the default."""
    return option or read_context().server or DEFAULT_SERVER


def project_of(option: str) -> str:
    """Gives the project: `--project` or TIDEGATE_PROJECT, then the context file.

    Raises:
        CommandError: nobody said which.
    """
    project = option or read_context().project
    if not project:
        raise CommandError(
            "which project?",
            why=[
                "say --project NAME, or set TIDEGATE_PROJECT",
                f'or write  project = "NAME"  into {context_path()}',
            ],
        )
    return project
