"""Schemas for kubeconform, made offline: strict ones, so that a field that Kubernetes doesn't know is an error.

Run:  .venv/bin/python tests/chart/schemas.py FOLDER
Then: kubeconform -strict -schema-location 'FOLDER/{{.ResourceKind}}{{.KindSuffix}}.json' MANIFEST ...
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = "#/definitions/"
# Types that the API takes as text or as a number, and its description calls text.
EITHER = (".intstr.IntOrString", ".resource.Quantity")

Schema = dict[str, Any]


def swagger() -> Path:
    """The description of the API, in the source of the Kubernetes that is pinned. Raises CalledProcessError where it
    can't be had.
    """
    return source_of("k8s.io/kubernetes") / "api" / "openapi-spec" / "swagger.json"


def source_of(module: str) -> Path:
    """The source of a Go module that is pinned. Raises CalledProcessError where it can't be had."""
    command = [str(REPOSITORY / "tools" / "go-tools.sh"), f"source:{module}"]
    return Path(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def write(description: Path, folder: Path) -> int:
    """Writes a schema for each kind of object into a folder; returns how many. Each holds the definitions that it
    refers to and no others: kubeconform reads all of a file, which took most of its time.
    """
    definitions: dict[str, Schema] = json.loads(description.read_text())["definitions"]
    folder.mkdir(parents=True, exist_ok=True)
    strict = {name: strictly(name, definition) for name, definition in definitions.items()}
    written = 0
    for name, definition in definitions.items():
        for file in files(definition):
            needed = {each: strict[each] for each in reached_from(name, strict)}
            (folder / file).write_text(json.dumps({"$ref": REFERENCE + name, "definitions": needed}))
            written += 1
    return written


def reached_from(name: str, definitions: dict[str, Schema]) -> set[str]:
    """The name and those of all that its definition refers to, however far."""
    found, left = {name}, [name]
    while left:
        new = set(references(definitions[left.pop()])) - found
        found |= new
        left.extend(new)
    return found


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to itself."""
    if isinstance(schema, dict):
        if isinstance(reference := schema.get("$ref"), str):
            yield reference.removeprefix(REFERENCE)
        schema = list(schema.values())
    if isinstance(schema, list):
        for each in schema:
            yield from references(each)


def write_custom(folder: Path) -> None:
    """Writes the schemas of HTTPRoutes, by the Gateway API's own description of them. Raises CalledProcessError where
    that can't be had.
    """
    source = source_of("sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    found = yaml.safe_load((source / "gateway.networking.k8s.io_httproutes.yaml").read_text())
    for version in found["spec"]["versions"]:
        name = f"httproute-gateway-{version['name']}.json"
        (folder / name).write_text(json.dumps(closed(version["schema"]["openAPIV3Schema"])))


def closed(schema: Any, is_root: bool = True) -> Any:
    """A custom resource's schema without room for fields that it doesn't name."""
    if isinstance(schema, list):
        return [closed(each, False) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value, False) for key, value in schema.items()}
    is_open = "x-kubernetes-preserve-unknown-fields" in schema or "additionalProperties" in schema
    if is_root:
        found["properties"]["metadata"] = {"type": "object"}
    return (
        found if is_open or not isinstance(schema.get("properties"), dict) else {**found, "additionalProperties": False}
    )


def files(definition: Schema) -> Iterator[str]:
    """The names under which kubeconform looks for a kind of object: deployment-apps-v1.json, pod-v1.json."""
    kinds = definition.get("x-kubernetes-group-version-kind", [])
    if len(kinds) == 1:  # with more it is no object of its own, but what many share (DeleteOptions)
        group, version, kind = (kinds[0][part] for part in ("group", "version", "kind"))
        yield "-".join(filter(None, (kind.lower(), group.split(".")[0], version))) + ".json"


def strictly(name: str, definition: Schema) -> Schema:
    """The definition without room for fields that it doesn't name."""
    if name.endswith(EITHER):
        return {"type": ["string", "number"]}
    if "properties" not in definition:
        return definition
    return {"additionalProperties": False, **definition}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Usage: schemas.py FOLDER")
    try:
        print(f"{write(swagger(), Path(sys.argv[1]))} schemas in {sys.argv[1]}")
    except subprocess.CalledProcessError:
        sys.exit(1)  # tools/go-tools.sh has said why


if __name__ == "__main__":
    main()
