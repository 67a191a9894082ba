"""Checks a tree written by hand against the API's messages: every fault, with its path."""

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from lbaas.v1 import load_balancer_pb2
from tidegate.cli.failure import did_you_mean
from tidegate.cli.json_value import JsonObject, JsonValue

_TEXT = {FieldDescriptor.CPPTYPE_STRING}
_NUMBER = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_BOOL = {FieldDescriptor.CPPTYPE_BOOL}


def spelling_faults(tree: JsonObject) -> tuple[JsonObject, list[str]]:
    """Gives the tree in proto3 JSON's spelling, and what is wrong with it.

    Keys may be written as in the protos (`lb_method`) or as in JSON (`lbMethod`).
    """
    faults: list[str] = []
    spelled = _message(tree, load_balancer_pb2.LoadBalancer.DESCRIPTOR, "", faults)
    return spelled, faults


def _message(value: JsonObject, kind: Descriptor, path: str, faults: list[str]) -> JsonObject:
    known = {field.json_name: field for field in kind.fields}
    known |= {field.name: field for field in kind.fields}
    spelled: JsonObject = {}
    for key, inner in value.items():
        field = known.get(str(key))
        where = f"{path}{key}"
        if field is None:
            names = [each.name for each in kind.fields]
            faults.append(f"{where}: unknown{did_you_mean(str(key), names)}")
        else:
            spelled[field.json_name] = _field(inner, field, where, faults)
    return spelled


def _field(value: JsonValue, field: FieldDescriptor, path: str, faults: list[str]) -> JsonValue:
    if value is None:
        return None
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        if not isinstance(value, dict):
            faults.append(f"{path}: has to be a map")
            return None
        entry = kind.fields_by_name["value"]
        return {str(k): _single(v, entry, f"{path}.{k}", faults) for k, v in value.items()}
    if field.is_repeated:
        if not isinstance(value, list):
            faults.append(f"{path}: has to be a list")
            return None
        return [_single(each, field, f"{path}[{i}]", faults) for i, each in enumerate(value)]
    return _single(value, field, path, faults)


def _single(value: JsonValue, field: FieldDescriptor, path: str, faults: list[str]) -> JsonValue:
    kind = field.message_type
    if kind is not None and kind.file.package != "google.protobuf":
        if isinstance(value, dict):
            return _message(value, kind, f"{path}.", faults)
        faults.append(f"{path}: has to be a map with {', '.join(f.name for f in kind.fields)}")
    elif kind is not None and kind.name == "Duration" and not _is_duration(value):
        faults.append(f"{path}: write seconds with an s, as in 5s or 0.5s")
    elif field.enum_type is not None:
        words = [word for word in field.enum_type.values_by_name if word != "CODE_UNSPECIFIED"]
        if value not in words:
            guess = did_you_mean(str(value), words)
            faults.append(f"{path}: {value!r} is unknown{guess}; one of {', '.join(words)}")
    elif field.cpp_type in _TEXT and not isinstance(value, str):
        faults.append(f"{path}: has to be text; put it in quotes")
    elif field.cpp_type in _NUMBER and (isinstance(value, bool) or not _is_whole(value)):
        faults.append(f"{path}: has to be a whole number")
    elif field.cpp_type in _BOOL and not isinstance(value, bool):
        faults.append(f"{path}: has to be true or false")
    return value


def _is_whole(value: JsonValue) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.lstrip("-").isdigit())


def _is_duration(value: JsonValue) -> bool:
    if not isinstance(value, str) or not value.endswith("s"):
        return False
    try:
        float(value[:-1])
    except ValueError:
        return False
    return True
