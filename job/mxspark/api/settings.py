"""Settings out of what a function is called with."""

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mxspark.cli.flags import Given
from mxspark.errors import UsageError
from mxspark.settings import sources
from mxspark.settings.job import Settings
from mxspark.settings.sources import EffectiveSettings, Layer

PLACES = ("input", "output", "model")  # sections of which a text is the path


def effective(function: str, given: Mapping[str, Any], file: Any = None) -> EffectiveSettings:
    """The settings of a file, of the environment and of what `function` is given, in order of increasing precedence.

    `given` has the names of a settings file: `top_k`, a section as a mapping (`spark={"conf": …}`), or a dotted key
    (`**{"spark.conf.spark.ui.enabled": "true"}`); of input, output and model the place alone will do. Raises UsageError
    naming every key that is wrong.
    """
    mine = layer(function, given)
    endpoint = mine.values.get(("storage", "endpoint_url"))
    others = Given(None if file is None else _plain(file), [], {"storage.endpoint_url": endpoint}).layers()[:-1]
    return sources.effective([*others, mine])


def layer(function: str, given: Mapping[str, Any]) -> Layer:
    """The layer of what a function is given. Raises UsageError where a key is given twice."""
    values: dict[tuple[str, ...], Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        value = _plain(value)
        if key in PLACES and not isinstance(value, Mapping):
            value = {"path": value}
        if "." in key:  # as after --set
            path, found = _dotted(key), {}
            found[path] = value
        else:
            found = dict(sources.file_layer({key: value}, function).values)
        if twice := found.keys() & values.keys():
            raise UsageError(f"{function}: {'.'.join(min(twice))} is given twice", "Give it once.")
        values |= found
    return Layer(function, values)


def _dotted(key: str) -> tuple[str, ...]:
    (path,) = sources.flag_layer({key: ""}, []).values
    return path


def _plain(value: Any) -> Any:
    """A value as a settings file has it: pathlib's paths are texts."""
    if isinstance(value, PurePath):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def without_job(function: str, given: Mapping[str, Any], unused: Mapping[str, str]) -> Settings:
    """Settings for a model alone, where there is no input and no output of a job.

    Raises UsageError for a setting that would have no effect: `unused` has dotted keys, and why.
    """
    for path in layer(function, given).values:
        key = ".".join(path)
        why = next((why for name, why in unused.items() if key == name or key.startswith(f"{name}.")), None)
        if why is not None:
            raise UsageError(f"{function}: {key} would have no effect", why)
    # As of a list of images, which may name any place; nothing reads the list itself.
    places = {"input": {**_section(given, "input"), "path": "/images.txt", "allow_outside": True}}
    places["output"] = {**_section(given, "output"), "path": "(none)"}
    return effective(function, {**given, **places}).settings


def _section(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    return dict(given.get(name) or {})
