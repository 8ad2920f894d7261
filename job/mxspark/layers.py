"""Where the values of the settings come from: a YAML file, the environment (MXSPARK_SPARK__EXECUTOR_MEMORY=4g), flags; else defaults.

In that order of increasing precedence; every value is known by its source.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from mxspark.document import Document, parse, parse_scalar
from mxspark.errors import UsageError
from mxspark.settings import Settings, visible

ENVIRONMENT_PREFIX = "MXSPARK_"
# What Kubernetes tells every pod about a service that is named mxspark.
_KUBERNETES_SERVICE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?$")

KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """The values that one source gives: paths such as ('spark', 'executors') to values; `name` says which source."""

    name: str
    values: Mapping[KeyPath, Any]
    names: Mapping[KeyPath, str] | None = None

    def origin(self, path: KeyPath) -> str:
        return (self.names or {}).get(path, self.name)


@dataclass(frozen=True)
class EffectiveSettings:
    """Settings, and the source of every value by dotted key (`default` for the rest)."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, Any, str]]:
        """(key, value, source) of every setting, in the model's order."""
        data = visible(self.settings.model_dump())
        for path in Settings.leaves():
            value: Any = data
            for key in path:
                value = value[key]
            yield ".".join(path), value, _origin(".".join(path), self.origins)


def effective(layers: Sequence[Layer]) -> EffectiveSettings:
    """The settings that the layers give together, later ones winning. Raises UsageError naming every wrong key and its source."""
    tree: dict[str, Any] = {"input": {}, "output": {}, "model": {}}  # so that it is input.path that is missing, not input
    origins: dict[str, str] = {}
    for layer in layers:
        for path, value in layer.values.items():
            _plant(tree, path, value)
            origins[".".join(path)] = layer.origin(path)
    settings = parse(Settings, tree, "settings", lambda key: _origin(key, origins))
    return EffectiveSettings(settings, origins)


def changed(settings: Settings) -> dict[str, Any]:
    """What differs from the defaults, as the content of a settings file."""
    return settings.model_dump(mode="json", exclude_defaults=True)


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """The source of `key`; there may be many where it is a mapping, whose keys come from many."""
    sources = [source for given, source in origins.items() if given == key or given.startswith(f"{key}.")]
    return ", ".join(dict.fromkeys(sources)) or "default"


def _plant(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    for key in path[:-1]:
        below = tree.setdefault(key, {})
        if not isinstance(below, dict):
            below = tree[key] = {}
        tree = below
    tree[path[-1]] = value


def file_layer(data: Mapping[str, Any], source: str) -> Layer:
    """The layer of a settings file's content."""
    return Layer(source, dict(_flatten(Settings, data, ())))


def _flatten(kind: type[Document] | None, data: Mapping[str, Any], prefix: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in data.items():
        section = kind.section(key) if kind else None
        if section and value is None:  # `spark:` with nothing below it
            continue
        if isinstance(value, Mapping) and section:
            yield from _flatten(section, value, (*prefix, key))
        elif isinstance(value, Mapping) and kind and kind.is_mapping(key):
            yield from (((*prefix, key, str(inner)), v) for inner, v in value.items())
        else:
            yield (*prefix, str(key)), value


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """The layer of the MXSPARK_… variables: MXSPARK_TOP_K, MXSPARK_SPARK__EXECUTOR_MEMORY."""
    values: dict[KeyPath, Any] = {}
    names: dict[KeyPath, str] = {}
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX) and not _KUBERNETES_SERVICE.search(name):
            path = _environment_path(name.removeprefix(ENVIRONMENT_PREFIX).split("__"))
            values[path] = _value(path, text, name)
            names[path] = name
    return Layer("environment", values, names)


def _environment_path(parts: list[str]) -> KeyPath:
    """Settings are written in upper case; the user's own keys in a mapping (spark.conf) as they are."""
    path = _path(".".join(parts).lower())
    return (*path[:-1], ".".join(parts[len(path) - 1 :])) if _is_in_mapping(path) else path


def _is_in_mapping(path: KeyPath) -> bool:
    owner = Settings.section_at(*path[:-2])
    return len(path) > 1 and owner is not None and owner.is_mapping(path[-2])


def flag_layer(flags: Mapping[str, Any], assignments: Sequence[str], flag_names: Mapping[str, str] | None = None) -> Layer:
    """The layer of the command line: `flags` maps dotted keys to values (None: not given), `assignments` are --set's KEY=VALUE.

    `flag_names` says for the keys which flag it was.
    """
    values: dict[KeyPath, Any] = {_path(key): value for key, value in flags.items() if value is not None}
    names: dict[KeyPath, str] = {path: (flag_names or {}).get(".".join(path), "flag") for path in values}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            shown = re.match(r"[\w.]*", assignment)  # what follows may be a secret
            raise UsageError(
                f"--set {shown[0] if shown else ''}… has no '='", "Write --set KEY=VALUE, e.g. --set spark.executor_memory=4g."
            )
        path = _path(key.strip())
        values[path] = _value(path, text, f"--set {key}")
        names[path] = "flag --set"
    return Layer("flag", values, names)


def _path(dotted: str) -> KeyPath:
    """`spark.conf.spark.ui.enabled` is the key `spark.ui.enabled` in the mapping spark.conf."""
    keys = dotted.split(".")
    kind: type[Document] | None = Settings
    for position, key in enumerate(keys):
        if kind is not None and kind.is_mapping(key) and position + 1 < len(keys):
            return (*keys[: position + 1], ".".join(keys[position + 1 :]))
        kind = kind.section(key) if kind is not None else None
    return tuple(keys)


def _value(path: KeyPath, text: str, source: str) -> Any:
    is_list = path == ("input", "path") and text[:1] + text[-1:] == "[]"
    return text if _is_text(path) and text != "null" and not is_list else parse_scalar(text, source)


def _is_text(path: KeyPath) -> bool:
    """Whether a text is what belongs at `path`: then `2024-01-01` and `007` stay as they are written."""
    kind: type[Document] | None = Settings
    for position, key in enumerate(path):
        if kind is None:
            return False
        if kind.is_mapping(key):
            return len(path) > position + 1  # an entry of the mapping; the mapping as a whole is YAML
        field = kind.model_fields.get(key)
        if field is not None and kind.section(key) is None:
            # `Place | None` is Annotated[str, …] or NoneType; input.path is one place or a list of them.
            kinds = [get_args(given)[0] if get_origin(given) is Annotated else given for given in get_args(field.annotation)]
            return field.annotation is str or (str in kinds and (NoneType in kinds or any(get_origin(kind) is tuple for kind in kinds)))
        kind = kind.section(key)
    return False
