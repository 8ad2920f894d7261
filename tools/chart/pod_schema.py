"""The fields that Kubernetes knows of pods, as JSON schemas, from the models of the package kubernetes.

As lenient as a part of a manifest needs: nothing is required, and `null` removes what mxspark would write.
"""

import json
import re
from typing import Any

from kubernetes.client import models

from mxspark.settings.kubernetes import IMAGE
from mxspark.settings.pod_schema import INGRESS_RULE, POD_TEMPLATE, PREFIX

ROOTS = (POD_TEMPLATE, INGRESS_RULE, "V1NetworkPolicyPeer", "V1NetworkPolicyEgressRule")
CONTAINERS = ("V1Container", "V1EphemeralContainer")
# The models call them texts; the API takes numbers too.
QUANTITIES = {"sizeLimit", "divisor", "limits", "requests", "capacity", "overhead"}
SERVERS_OWN = {"managed_fields"}
TEXT_OR_NUMBER = {"type": ["string", "number", "null"]}
PLAIN = {"str": "string", "datetime": "string", "int": "integer", "bool": "boolean", "float": "number"}

Schema = dict[str, Any]


def definitions() -> dict[str, Schema]:
    """By name, all that the roots are made of."""
    found: dict[str, Schema] = {}
    todo = list(ROOTS)
    while todo:
        kind = todo.pop()
        if kind not in found:
            model = getattr(models, kind)
            fields = {
                model.attribute_map[name]: field
                for name, field in model.openapi_types.items()
                if name not in SERVERS_OWN
            }
            if kind == POD_TEMPLATE:  # which people write as a pod's manifest
                fields |= {"apiVersion": "str", "kind": "str"}
            found[kind] = {
                "type": ["object", "null"],
                "properties": {name: _schema(name, field) for name, field in sorted(fields.items())},
                "additionalProperties": False,
            }
            todo += [
                inner for field in fields.values() for inner in re.findall(r"\w+", field) if hasattr(models, inner)
            ]
    for kind in CONTAINERS:
        found[kind]["properties"]["image"]["pattern"] = IMAGE
    return {PREFIX + kind: found[kind] for kind in sorted(found)}


def _schema(name: str, kind: str) -> Schema:
    """Of a field, whose type the models write as List[V1Container], Dict[str, str], int."""
    outer, _, inner = kind.rstrip("]").partition("[")
    if outer == "List":
        return {"type": ["array", "null"], "items": _schema(name, inner)}
    if outer == "Dict":
        return {"type": ["object", "null"], "additionalProperties": _schema(name, inner.removeprefix("str, "))}
    if name in QUANTITIES or kind == "object":  # which are numbers or names of ports
        return TEXT_OR_NUMBER
    return {"type": [PLAIN[kind], "null"]} if kind in PLAIN else {"$ref": f"#/$defs/{PREFIX}{kind}"}


def text() -> str:
    """The file's text, a line for each definition."""
    lines = (f"{json.dumps(name)}: {json.dumps(schema)}" for name, schema in definitions().items())
    return '{"$defs": {\n' + ",\n".join(lines) + "\n}}\n"
