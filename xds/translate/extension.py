"""Envoy's extensions: a message in an Any, under the name Envoy knows it by."""

from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message


def packed(message: Message) -> Packed:
    """Gives the message in an Any, with the same bytes for the same content on every run."""
    box = Packed()
    box.Pack(message, deterministic=True)
    return box
