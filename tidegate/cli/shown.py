"""`--show`: the call as a line for grpcurl or `buf curl`, instead of making it."""

import json
import shlex
from enum import StrEnum

from tidegate.cli.json_value import JsonObject


class Show(StrEnum):
    """Whose command line to print."""

    GRPCURL = "grpcurl"
    BUF = "buf"


def shown(tool: Show, *, server: str, method: str, request: JsonObject) -> str:
    """Gives a line ready to paste into a shell.

    `method` is `lbaas.v1.PoolService/CreatePool`. Both tools ask the server's reflection for
    the messages, so the line needs no proto files.
    """
    data = json.dumps(request, ensure_ascii=False, separators=(",", ":"))
    path = server.removeprefix("unix:")
    socket = path != server
    if tool is Show.GRPCURL:
        unix = ["-unix"] if socket else []
        words = ["grpcurl", "-plaintext", *unix, "-d", data, path, method]
    else:
        words = ["buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", data]
        if socket:
            words += ["--unix-socket", path]
        words.append(f"http://{'localhost' if socket else server}/{method}")
    return shlex.join(words)
