"""The columns of `pool stats` and `vip stats`: what agents counted."""

from tidegate.cli.durations import age
from tidegate.cli.json_value import number, text
from tidegate.cli.nouns import NAME
from tidegate.cli.table import Column


def _count(heading: str, path: str) -> Column:
    return Column(heading, lambda row: str(number(row, path)))


STATS = (
    NAME,
    _count("BYTES_IN", "bytesIn"),
    _count("BYTES_OUT", "bytesOut"),
    _count("CONNS", "activeConnections"),
    _count("CONNS_EVER", "totalConnections"),
    _count("REQUESTS", "requests"),
    _count("ERRORS", "errors"),
    Column("NODES", lambda row: f"{number(row, 'nodesReporting')}/{number(row, 'nodesTotal')}"),
)
REPORTED = Column("REPORTED", lambda row: age(text(row, "time")))
REFUSED = _count("REFUSED", "refusedConnections")
MEMBER_STATS = (
    NAME,
    _count("CONNS", "activeConnections"),
    _count("CONNS_EVER", "totalConnections"),
    _count("REQUESTS", "requests"),
    _count("ERRORS", "errors"),
)
