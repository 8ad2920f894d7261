"""AWS's own model of the API, as botocore has it: what it says against a request, patterns, enums and maximum
lengths included.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator


@cache
def input_shape(operation: str) -> Any:
    """The shape of an operation's input."""
    return botocore.session.Session().get_service_model("emr-containers").operation_model(operation).input_shape


def complaints(request: dict[str, Any], operation: str = "StartJobRun") -> list[str]:
    """What is wrong with a request; botocore's own validator leaves out what `_walk` looks at."""
    shape = input_shape(operation)
    report = ParamValidator().validate(request, shape)
    return [*([report.generate_report()] if report.has_errors() else []), *_walk(shape, request, operation)]


def _walk(shape: Any, value: Any, path: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    if most is not None and isinstance(value, (str, list, dict)) and len(value) > most:
        yield f"{path}: {len(value)}, at most {most}"
    if shape.type_name == "structure" and isinstance(value, dict):
        for key, inner in value.items():
            if key in shape.members:
                yield from _walk(shape.members[key], inner, f"{path}.{key}")
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from _walk(shape.member, inner, f"{path}[{number}]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from _walk(shape.key, key, f"{path}: the key {key[:40]}")
            yield from _walk(shape.value, inner, f"{path}.{key[:40]}")
    elif shape.type_name == "string" and isinstance(value, str):
        if shape.enum and value not in shape.enum:
            yield f"{path}: {value!r} is none of {shape.enum}"
        if "pattern" in shape.metadata and not re.fullmatch(shape.metadata["pattern"], value, re.ASCII):
            yield f"{path}: {value[:60]!r} is not of the form {shape.metadata['pattern']}"
