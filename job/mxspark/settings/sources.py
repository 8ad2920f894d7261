"""Where the values of the settings come from: a YAML file, the environment (MXSPARK_SPARK__EXECUTOR_MEMORY=4g), flags;
else defaults.

In that order of increasing precedence; every value is known by its source.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from mxspark.errors import UsageError
from mxspark.settings import pod_schema
from mxspark.settings.document import Document, explained_yaml, parse, parse_scalar, suggestion
from mxspark.settings.job import Settings, visible
from mxspark.settings.kubernetes import pod_part

ENVIRONMENT_PREFIX = "MXSPARK_"
# What Kubernetes tells every pod about a service that is named mxspark; MXSPARK_METRICS__PORT is a setting.
_KUBERNETES_SERVICE = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|(?<!_)_PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?$")

NOT_GIVEN = "not given"  # the source of what stands for a value that a run needs

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

    def rows(self, below: KeyPath = ()) -> Iterator[tuple[str, Any, str]]:
        """(key, value, source) of every setting at or below a path, in the model's order."""
        data = visible(self.settings.model_dump())
        for path in _leaves(below):
            yield ".".join(path), _at(data, path), _origin(".".join(path), self.origins)

    def to_yaml(self, below: KeyPath = ()) -> str:
        """The settings at or below a path as a settings file that explains each; what is secret or not given is a
        comment.
        """
        data = self.settings.model_dump(mode="json")
        shown = visible(data)
        comments, tree = set[KeyPath](), dict[str, Any]()
        for path in _leaves(below):
            value, open_value = _at(data, path), _at(shown, path)
            _plant(tree, path, open_value)
            if isinstance(value, Mapping):
                comments |= {(*path, key) for key in value if value[key] != open_value[key]}
            elif value != open_value or _origin(".".join(path), self.origins) == NOT_GIVEN:
                comments.add(path)
        return explained_yaml(Settings, tree, comments)


def effective(layers: Sequence[Layer]) -> EffectiveSettings:
    """The settings that the layers give together, later ones winning. Raises UsageError naming every wrong key and
    its source.
    """
    # Then input.path is missing, not input.
    tree: dict[str, Any] = {"input": {}, "output": {}, "model": {}}
    origins: dict[str, str] = {}
    for layer in layers:
        for path, value in layer.values.items():
            _plant(tree, path, value)
            origins[".".join(path)] = layer.origin(path)
    settings = parse(Settings, tree, "settings", lambda key: _origin(key, origins))
    return EffectiveSettings(settings, origins)


def find(key: str) -> KeyPath:
    """The path of a setting, or of a section. Raises UsageError, naming what may be meant, where there is none."""
    keys = key.split(".")
    path = tuple(keys[: _known(keys)])  # what is below a mapping's key is shown with it
    if not any(_leaves(path)):
        raise UsageError(f"there is no setting {key!r}", suggestion(Settings, path))
    return path


def _leaves(below: KeyPath) -> Iterator[KeyPath]:
    return (path for path in Settings.leaves() if path[: len(below)] == below)


def _at(data: Mapping[str, Any], path: KeyPath) -> Any:
    value: Any = data
    for key in path:
        value = value[key]
    return value


def environment_name(path: KeyPath) -> str:
    """The variable that sets what is at `path`."""
    return ENVIRONMENT_PREFIX + "__".join(path).upper()


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
    tree[path[-1]] = copy.deepcopy(value)  # for later layers may change what is below


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
    keys = [part.lower() for part in parts]
    known = _known(keys)
    return _path([*keys[:known], *parts[known:]])


def flag_layer(
    flags: Mapping[str, Any], assignments: Sequence[str], flag_names: Mapping[str, str] | None = None
) -> Layer:
    """The layer of the command line: `flags` maps dotted keys to values (None: not given), `assignments` are --set's
    KEY=VALUE.

    `flag_names` says for the keys which flag it was.
    """
    values: dict[KeyPath, Any] = {_path(key.split(".")): value for key, value in flags.items() if value is not None}
    names: dict[KeyPath, str] = {path: (flag_names or {}).get(".".join(path), "flag") for path in values}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            shown = re.match(r"[\w.]*", assignment)  # what follows may be a secret
            raise UsageError(
                f"--set {shown[0] if shown else ''}… has no '='",
                "Write --set KEY=VALUE, e.g. --set spark.executor_memory=4g.",
            )
        path = _path(key.strip().split("."))
        values[path] = _value(path, text, f"--set {key}")
        names[path] = "flag --set"
    return Layer("flag", values, names)


def _known(keys: Sequence[str]) -> int:
    """How many of the keys are those of settings: all up to a free mapping, what follows are the user's own."""
    kind: type[Document] | None = Settings
    for position, key in enumerate(keys):
        if kind is not None and kind.is_mapping(key):
            return position + 1
        kind = kind.section(key) if kind is not None else None
    return len(keys)


def _path(keys: Sequence[str]) -> KeyPath:
    """`spark.conf.spark.ui.enabled` is the key `spark.ui.enabled` in the mapping spark.conf; a pod template has keys
    below keys.
    """
    known = _known(keys)
    below, part = keys[known:], _pod_part(keys[:known])
    if below:
        return (*keys[:known], *(pod_schema.path(part, below) if part else (".".join(below),)))
    return tuple(keys)


def _pod_part(keys: Sequence[str]) -> str | None:
    """The kind of object of Kubernetes' that is behind these keys of settings."""
    owner = Settings.section_at(*keys[:-1])
    return pod_part(owner, keys[-1]) if owner is not None else None


def _value(path: KeyPath, text: str, source: str) -> Any:
    is_list = path == ("input", "path") and text[:1] + text[-1:] == "[]"
    return text if _is_text(path) and text != "null" and not is_list else parse_scalar(text, source)


def _is_text(path: KeyPath) -> bool:
    """Whether a text is what belongs at `path`: then `2024-01-01` and `007` stay as they are written."""
    kind: type[Document] | None = Settings
    for position, key in enumerate(path):
        if kind is None:
            return False
        if kind.is_mapping(key):  # an entry of it; the mapping as a whole is YAML
            below, part = path[position + 1 :], pod_part(kind, key)
            return pod_schema.is_text(part, below) if part else bool(below)
        field = kind.model_fields.get(key)
        if field is not None and kind.section(key) is None:
            # `Place | None` is Annotated[str, …] or NoneType; input.path is one place or a list of them.
            kinds = [
                get_args(given)[0] if get_origin(given) is Annotated else given for given in get_args(field.annotation)
            ]
            return field.annotation is str or (
                str in kinds and (NoneType in kinds or any(get_origin(kind) is tuple for kind in kinds))
            )
        kind = kind.section(key)
    return False
