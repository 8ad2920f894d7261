"""The fields that Kubernetes knows of pods: a misspelled one in a template, a toleration or an affinity is an error,
and isn't ignored.

pod_schema.json is generated from Kubernetes' own models (`make chart`); the chart's values.schema.json has the same
definitions.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

FILE = "settings/pod_schema.json"
PREFIX = "kubernetes."  # of the definitions' names
POD_TEMPLATE, TOLERATION, AFFINITY = "V1PodTemplateSpec", "V1Toleration", "V1Affinity"
INGRESS_RULE = "V1NetworkPolicyIngressRule"
WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "keys and values",
}

Schema = Mapping[str, Any]


@cache
def _definitions() -> Mapping[str, Schema]:
    found: Mapping[str, Schema] = json.loads(files("mxspark").joinpath(FILE).read_text())["$defs"]
    return found


def problems(kind: str, value: Any, at: str) -> Iterator[str]:
    """What Kubernetes would not take of a `kind` of object, or drop silently; `at` is where it stands, in dotted
    keys.
    """
    yield from _problems(_definitions()[PREFIX + kind], value, at)


def _problems(schema: Schema, value: Any, at: str) -> Iterator[str]:
    schema = _resolved(schema)
    if not _is_of(schema["type"], value):
        wanted = [kind for kind in schema["type"] if kind != "null"]
        words = " or ".join(WORDS[kind] for kind in wanted)
        # Never the value, which may be a secret.
        yield f"{at} is {WORDS[_json_type(value)]}, and Kubernetes wants {words}{_mend(wanted, value)}"
    elif isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"{at} has not the form of an image's name: registry/name:tag, all but host and tag in small letters"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            below = _below(schema, key)
            if below is None:
                yield (
                    f"{at} has {key!r}, which Kubernetes doesn't know "
                    f"there{_nearest(key, schema.get('properties', {}))}"
                )
            else:
                yield from _problems(below, inner, f"{at}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            if inner is None:
                yield f"{at}.{number} has nothing in it"
            yield from _problems(schema["items"], inner, f"{at}.{number}")


def _mend(wanted: Sequence[str], value: Any) -> str:
    if wanted == ["string"] and not isinstance(value, (Mapping, list, tuple)):
        return ": quote it"
    return ": give it as a whole, [{...}]" if wanted == ["array"] and isinstance(value, Mapping) else ""


def _resolved(schema: Schema) -> Schema:
    return _definitions()[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema


def _below(schema: Schema, key: str) -> Schema | None:
    """The schema of a key: one of the object's own, or any of a mapping's."""
    found: Schema | None = schema.get("properties", {}).get(key) or schema.get("additionalProperties") or None
    return found


def _is_of(kinds: Sequence[str], value: Any) -> bool:
    if isinstance(value, float) and value.is_integer():
        return "integer" in kinds or "number" in kinds
    return (
        value is None
        or _json_type(value) in kinds
        or (isinstance(value, int) and not isinstance(value, bool) and "number" in kinds)
    )


def _json_type(value: Any) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", tuple: "array"}
    return kinds.get(type(value), "object")


def _nearest(key: str, known: Mapping[str, Schema]) -> str:
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(key.lower(), lower, n=1, cutoff=0.6)
    return (
        f". Did you mean {lower[close[0]]}?" if close else f"; it knows {', '.join(known)}" if len(known) < 10 else ""
    )


def path(kind: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Dotted keys below a `kind` of object as a path in it: what follows a mapping of the user's own keys (labels)
    is one of those.
    """
    schema: Schema | None = _definitions()[PREFIX + kind]
    for position, key in enumerate(keys):
        if schema is not None and "properties" not in schema and "additionalProperties" in schema:
            return (*keys[:position], ".".join(keys[position:]))
        schema = _at(schema, key)
    return tuple(keys)


def is_text(kind: str, keys: Sequence[str]) -> bool:
    """Whether nothing but a text belongs at this path."""
    schema: Schema | None = _definitions()[PREFIX + kind]
    for key in keys:
        schema = _at(schema, key)
    return schema is not None and set(schema["type"]) == {"string", "null"}


def _at(schema: Schema | None, key: str) -> Schema | None:
    below = _below(schema, key) if schema is not None else None
    return _resolved(below) if below is not None else None
