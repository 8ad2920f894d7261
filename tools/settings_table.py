"""Settings as rows of a table: for the chart's README and docs/settings.md."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic_core import PydanticUndefined, to_jsonable_python

from mxspark.settings.document import Document, json_schema

TITLES = ("Key", "Type", "Default", "Description")


def table(kind: type[Document], about: Callable[[str], str] = str) -> str:
    """A Markdown table of all settings of a kind of document. `about` rewrites their descriptions."""
    rows = (TITLES, ("---",) * len(TITLES), *_rows(kind, "", about))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _rows(kind: type[Document], prefix: str, about: Callable[[str], str]) -> Iterator[tuple[str, str, str, str]]:
    types = json_schema(kind)["properties"]
    for name, field in kind.model_fields.items():
        key = field.alias or name
        section = kind.section(name)
        if section:
            yield from _rows(section, f"{prefix}{key}.", about)
        else:
            default = field.get_default(call_default_factory=True, validated_data={})
            shown = "" if default is PydanticUndefined else f"`{json.dumps(to_jsonable_python(default))}`"
            yield f"`{prefix}{key}`", _type(types[key]), shown, about(field.description or "").replace("|", "\\|")


def _type(described: Mapping[str, Any]) -> str:
    """A value's type in a word or two."""
    if "enum" in described:
        return " or ".join(described["enum"])
    if "anyOf" in described:
        kinds = dict.fromkeys(_type(option) for option in described["anyOf"])
        return " or ".join(kind for kind in kinds if kind != "null")
    words = {"integer": "int", "boolean": "bool", "array": "list", "number": "number"}
    return words.get(described.get("type", ""), str(described.get("type", described.get("const", ""))))
