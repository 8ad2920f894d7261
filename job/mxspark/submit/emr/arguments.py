"""The arguments of infer_main.py in a job run, within AWS's limits; or its settings as an object in S3, which they name."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mxspark.errors import UsageError
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.settings.kubernetes import KubernetesSettings
from mxspark.submit.emr.staging import staged

LONGEST_ARGUMENT = 10_280  # characters
# A job template's parameters: what differs from one run to the next.
PARAMETERS = {"Input": "input.path", "Output": "output.path", "Model": "model.path"}
SUBMISSION_PARAMETER = "Submission"
TEMPLATE_WORDS = frozenset(f"${{{name}}}" for name in (*PARAMETERS, SUBMISSION_PARAMETER))  # where their values go


def arguments(settings: Settings, is_template: bool) -> tuple[list[str], dict[str, bytes]]:
    """infer_main.py's arguments; and the settings as an object in S3, where they are too long or too strange for arguments."""
    content = job_settings(settings)
    flags = list(_flags(content))
    objects: dict[str, bytes] = {}
    if not _can_be_arguments(settings, flags, is_template):
        text = document.to_yaml(content).encode()
        place = staged(settings, "settings.yaml", text)
        objects[place] = text
        flags = [("--settings", place), *[(flag, value) for flag, value in flags if flag != "--set" and is_template]]
        if settings.storage.endpoint_url is not None:  # by which the object itself is read
            flags.append(("--endpoint-url", settings.storage.endpoint_url))
    if is_template:
        by_flag = {_FLAGS[key]: f"${{{name}}}" for name, key in PARAMETERS.items()}
        flags = [(flag, by_flag.get(flag, value)) for flag, value in flags]
    submission = f"${{{SUBMISSION_PARAMETER}}}" if is_template else submission_argument(settings)
    flags.append(("--set", submission))
    return [word for pair in flags for word in pair] + ["--yes"], objects


_FLAGS = {"input.path": "--input", "output.path": "--output", "model.path": "--model"}


def submission_argument(settings: Settings) -> str:
    """The same for every attempt of a job run: so only the first of them overwrites what an earlier run left."""
    return f"output.submission={settings.output.submission}"


def is_submission(text: str) -> bool:
    """Whether it comes back as it is: `null` would be none."""
    return is_argument(text) and text != "null"


def job_settings(settings: Settings) -> dict[str, Any]:
    """The settings that the driver needs besides Spark's properties, which it finds in its Spark, as a settings file has them."""
    local = settings.kubernetes.local_directory  # which Spark's properties are named by
    kept = settings.model_copy(
        update={
            "spark": type(settings.spark)(),
            "kubernetes": KubernetesSettings(local_directory=local),
            "emr": type(settings.emr)(),
            "output": settings.output.model_copy(update={"submission": None}),
        }
    )
    return sources.changed(kept)


def _flags(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    values = dict(sources.file_layer(content, "").values)
    for path in sorted(values, key=lambda path: list(_FLAGS).index(".".join(path)) if ".".join(path) in _FLAGS else len(_FLAGS)):
        key, value = ".".join(path), values[path]
        if key in _FLAGS:
            yield from ((_FLAGS[key], place) for place in ([value] if isinstance(value, str) else value))
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield "--set", f"{key}={text}"


def _can_be_arguments(settings: Settings, flags: list[tuple[str, str]], is_template: bool) -> bool:
    words = [word for pair in flags for word in pair]
    if sum(map(len, words)) + len(submission_argument(settings)) > LONGEST_ARGUMENT - 100 or not all(map(is_argument, words)):
        return False
    if is_template and any("${" in word for word in words):
        return False
    named: dict[str, Any] = {key: value for flag, value in flags for key, known in _FLAGS.items() if flag == known}
    named["input.path"] = [value for flag, value in flags if flag == _FLAGS["input.path"]]
    try:  # whether the job will read what was meant
        read = sources.effective([sources.flag_layer(named, [value for flag, value in flags if flag == "--set"])])
    except UsageError:
        return False
    return sources.changed(read.settings) == job_settings(settings)


def is_argument(word: str) -> bool:
    """AWS wants something to be seen on each line, so that one line is the most."""
    return bool(word.strip()) and word.isprintable()
