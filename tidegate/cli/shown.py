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
    if tool is Show.GRPCURL:
        words = ["grpcurl", "-plaintext", "-d", data, server, method]
    else:
        words = ["buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "-d", data]
        words.append(f"http://{server}/{method}")
    return shlex.join(words)
