"""Flags that several commands have, and the settings that they make together with files and the environment."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import typer

from mxspark import storage
from mxspark.cli import console
from mxspark.errors import UsageError
from mxspark.settings import document, job, sources
from mxspark.settings.job import Settings, StorageSettings
from mxspark.storage import Access
from mxspark.submit.remote_job import JobFlags


def help_of(*path: str) -> str:
    """The help of the flag that sets `path`: the setting's description and default."""
    default = (Settings.section_at(*path[:-1]) or Settings).model_fields[path[-1]].get_default()
    shown = isinstance(default, (str, int, float)) and not isinstance(default, bool)
    return Settings.describe(*path) + (f" [default: {default}]" if shown else "")


def _complete_keys(incomplete: str, end: str = "") -> list[str]:
    """The settings that what is typed so far may become, for shells."""
    return [f"{key}{end}" for key in map(".".join, Settings.leaves()) if key.startswith(incomplete)]


def _choices(*path: str) -> type[StrEnum]:
    """The values that the setting at `path` can have, as click wants them: the one list is the setting's own."""
    annotation = (Settings.section_at(*path[:-1]) or Settings).model_fields[path[-1]].annotation
    # The annotation is a Literal, or a Literal or None.
    literal = next((kind for kind in get_args(annotation) if get_origin(kind) is Literal), annotation)
    return _enum(path[-1], get_args(literal))


def _enum(name: str, values: tuple[str, ...]) -> type[StrEnum]:
    return StrEnum(name, {value: value for value in values})  # type: ignore[return-value]


def _flag(name: str, *path: str, **more: Any) -> Any:
    return typer.Option(name, help=help_of(*path), show_default=False, **more)


Context = _choices("context")
Precision = _choices("precision")
ModelPrecision = _enum("precision", get_args(job.Precision))  # what a model is made at, or measured
Format = _choices("output", "format")
LogFormat = _choices("log_format")
Kind = _choices("model", "output_kind")


KindFlag = Annotated[Kind | None, _flag("--kind", "model", "output_kind", metavar="KIND")]  # type: ignore[valid-type]
Preset = _choices("model", "preset")
PresetFlag = Annotated[Preset | None, _flag("--preset", "model", "preset", metavar="PRESET")]  # type: ignore[valid-type]
LayerFlag = Annotated[str | None, _flag("--layer", "model", "output_name", metavar="LAYER")]
AlsoFlag = Annotated[
    list[str] | None,
    typer.Option("--also", metavar="COLUMN=LAYER", help=help_of("model", "output_also") + " Can be given many times."),
]
SettingsFlag = Annotated[
    str | None, typer.Option("--settings", metavar="FILE", help="Settings as YAML: a path, or s3://bucket/key.")
]
SetFlag = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting, e.g. spark.executor_memory=4g. Can be given many times. `mxspark settings` lists them.",
        autocompletion=lambda incomplete: _complete_keys(incomplete, "="),
    ),
]
KeyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="KEY",
        help="Show only this setting, or this section.",
        autocompletion=lambda incomplete: _complete_keys(incomplete),
    ),
]
DebugFlag = Annotated[bool, typer.Option("--debug", help="Show stack traces and Spark's log.")]
InputFlag = Annotated[list[str] | None, _flag("--input", "input", "path", metavar="PLACE")]
OutputFlag = Annotated[str | None, _flag("--output", "output", "path", metavar="PLACE")]
ModelFlag = Annotated[str | None, _flag("--model", "model", "path", metavar="PLACE")]
ContextFlag = Annotated[Context | None, _flag("--context", "context")]  # type: ignore[valid-type]
PrecisionFlag = Annotated[Precision | None, _flag("--precision", "precision", metavar="NUMBERS")]  # type: ignore[valid-type]
FormatFlag = Annotated[Format | None, _flag("--format", "output", "format")]  # type: ignore[valid-type]
LogFormatFlag = Annotated[LogFormat | None, _flag("--log-format", "log_format", metavar="FORMAT")]  # type: ignore[valid-type]
BatchSizeFlag = Annotated[int | None, _flag("--batch-size", "batch_size", metavar="N")]
TopKFlag = Annotated[int | None, _flag("--top-k", "top_k", metavar="K")]
MasterFlag = Annotated[str | None, _flag("--master", "spark", "master", metavar="MASTER")]
EndpointFlag = Annotated[str | None, _flag("--endpoint-url", "storage", "endpoint_url", metavar="URL")]
FailedFlag = Annotated[float | None, _flag("--max-failed-fraction", "max_failed_fraction", metavar="F")]
OverwriteFlag = Annotated[bool, _flag("--overwrite", "output", "overwrite")]
RetryFailedFlag = Annotated[bool, _flag("--retry-failed", "output", "retry_failed")]
YesFlag = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to all questions.")]
LimitFlag = Annotated[int | None, _flag("--limit", "input", "limit", metavar="N")]


ImageFlag = Annotated[
    str | None, typer.Option("--image", metavar="IMAGE", help="Image of all pods (kubernetes.image).")
]
NamespaceFlag = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="Namespace. Default: that of the kubeconfig's context."),
]
KubeContextFlag = Annotated[
    str | None,
    typer.Option("--kube-context", metavar="NAME", help="Context of the kubeconfig. Default: the current one."),
]
KubeconfigFlag = Annotated[
    str | None,
    typer.Option(
        "--kubeconfig",
        metavar="FILE",
        help="The kubeconfig. Default: KUBECONFIG, ~/.kube/config, or in a pod its service account.",
    ),
]


class JobFlag(NamedTuple):
    """A flag that makes a setting: its type for typer, its default, and the setting."""

    kind: Any
    default: Any
    setting: str


# The flags by which a submitted job is found (JobFlags).
_FINDING_FLAGS = {
    "namespace": NamespaceFlag,
    "kube_context": KubeContextFlag,
    "kubeconfig": KubeconfigFlag,
    "virtual_cluster": Annotated[
        str | None,
        typer.Option(
            "--virtual-cluster",
            metavar="ID|NAME",
            help="Virtual cluster of the job run, where the name is a job run's id.",
        ),
    ],
    "region": Annotated[
        str | None,
        typer.Option(
            "--region", metavar="REGION", help="Region of the job run. Default: AWS_REGION, or the profile's."
        ),
    ],
}
# The flags that make a job's settings, by the commands' parameters.
_JOB_FLAGS = {
    "input_": JobFlag(InputFlag, None, "input.path"),
    "output": JobFlag(OutputFlag, None, "output.path"),
    "model": JobFlag(ModelFlag, None, "model.path"),
    "context": JobFlag(ContextFlag, None, "context"),
    "precision": JobFlag(PrecisionFlag, None, "precision"),
    "batch_size": JobFlag(BatchSizeFlag, None, "batch_size"),
    "top_k": JobFlag(TopKFlag, None, "top_k"),
    "output_format": JobFlag(FormatFlag, None, "output.format"),
    "log_format": JobFlag(LogFormatFlag, None, "log_format"),
    "master": JobFlag(MasterFlag, None, "spark.master"),
    "endpoint_url": JobFlag(EndpointFlag, None, "storage.endpoint_url"),
    "max_failed_fraction": JobFlag(FailedFlag, None, "max_failed_fraction"),
    "limit": JobFlag(LimitFlag, None, "input.limit"),
    "overwrite": JobFlag(OverwriteFlag, False, "output.overwrite"),
    "retry_failed": JobFlag(RetryFailedFlag, False, "output.retry_failed"),
}
_FLAG_NAMES = {"input_": "--input", "output_format": "--format"}  # where they differ from the parameter's name


def access_by(endpoint_url: str | None) -> Access:
    """How places are reached where --endpoint-url is all that is known. Raises UsageError."""
    return Access(document.parse(StorageSettings, {"endpoint_url": endpoint_url}, "--endpoint-url"))


def also_by(given: list[str] | None) -> dict[str, str]:
    """The columns that --also names, with their layers. Raises UsageError."""
    given = given or []
    pairs = [text.partition("=") for text in given]
    for text, (column, _, layer) in zip(given, pairs, strict=True):
        if not (column and layer):
            raise UsageError(f"--also is {text!r}", "Write COLUMN=LAYER, such as features=pool.")
    columns = [column for column, _, _ in pairs]
    if twice := next((column for column in columns if columns.count(column) > 1), None):
        raise UsageError(f"--also names the column {twice} twice", "Give each layer a column of its own.")
    return {column: layer for column, _, layer in pairs}


def flags_of(key: str) -> list[str]:
    """The flags of `mxspark run` that set `key`."""
    return [_flag_name(name) for name, flag in _JOB_FLAGS.items() if flag.setting == key]


def _flag_name(parameter: str) -> str:
    return _FLAG_NAMES.get(parameter, f"--{parameter.replace('_', '-')}")


@dataclass(frozen=True)
class Given:
    """What a command line says of a job."""

    settings_file: str | None
    assignments: list[str]
    values: Mapping[str, Any]  # by setting

    def layers(
        self, more: Mapping[str, Any] | None = None, names: Mapping[str, str] | None = None
    ) -> list[sources.Layer]:
        """A file, this process's environment, and flags, in order of increasing precedence.

        `more` are a command's own flags by setting; `names` are those of flags that aren't called as their setting is.
        """
        found = []
        if self.settings_file is not None:
            access = access_by(self.values.get("storage.endpoint_url")).of_driver(os.environ)
            try:
                with storage.usage_errors("--settings", "Name a YAML file."), storage.telling(console.show_warning):
                    text = storage.read_object(self.settings_file, access, limit=2**20).decode()
            except UnicodeDecodeError:
                raise UsageError(f"--settings: {self.settings_file} is not UTF-8 text", "Give a YAML file.") from None
            found.append(sources.file_layer(document.read_yaml(text, self.settings_file), self.settings_file))
        found.append(sources.environment_layer(os.environ))
        given = {**self.values, **{key: value for key, value in (more or {}).items() if value is not None}}
        called = {key: f"--{key.rpartition('.')[2].replace('_', '-')}" for key in given}
        called |= {flag.setting: _flag_name(name) for name, flag in _JOB_FLAGS.items()}
        found.append(sources.flag_layer(given, self.assignments, {**called, **(names or {})}))
        return found


def takes_job(
    without: tuple[str, ...] = (), more: Mapping[str, tuple[Any, Any, str]] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the flags that make a job's settings, but for those in `without`; it gets them as its one
    argument `given`.

    `more` are flags of the same kind: by parameter its kind, default and setting. typer takes a command's flags from
    its signature: five commands would repeat some twenty parameters each, and what becomes of them.
    """
    flags = {name: JobFlag(*flag) for name, flag in (_JOB_FLAGS | dict(more or {})).items() if name not in without}
    shared: dict[str, tuple[Any, Any]] = {"settings_file": (SettingsFlag, None), "assignments": (SetFlag, [])}
    shared |= {name: (flag.kind, flag.default) for name, flag in flags.items()}

    def given(values: dict[str, Any]) -> Given:
        chosen = {flag.setting: plain(values[name]) for name, flag in flags.items()}
        kept = {key: value for key, value in chosen.items() if value is not None and value is not False and value != []}
        return Given(values["settings_file"], values["assignments"], kept)

    return lambda function: _expanded(function, "given", shared, given)


def finds_job(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the flags that say where a submitted job runs; it gets them as its argument `where`."""
    return _expanded(
        function,
        "where",
        {name: (kind, None) for name, kind in _FINDING_FLAGS.items()},
        lambda values: JobFlags(**values),
    )


def _expanded(
    function: Callable[..., None],
    argument: str,
    flags: Mapping[str, tuple[Any, Any]],
    gather: Callable[[dict[str, Any]], Any],
) -> Callable[..., None]:
    """A command with flags (by parameter their kind and default) in place of an argument of a function's, which
    `gather` makes of them.
    """

    def command(**values: Any) -> None:
        gathered = gather({name: values.pop(name) for name in flags})
        function(**{argument: gathered}, **values)

    parameters = []
    for own in signature(function, eval_str=True).parameters.values():
        if own.name == argument:
            parameters += [
                Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
                for name, (kind, default) in flags.items()
            ]
        else:
            parameters.append(own.replace(kind=Parameter.KEYWORD_ONLY))
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # where typer looks
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__, command.__name__ = function.__doc__, function.__name__
    return command


def plain(value: Any) -> Any:
    """What a flag gave, as settings have it."""
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return str(value) if isinstance(value, StrEnum) else value
