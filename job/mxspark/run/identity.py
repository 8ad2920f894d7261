"""What a table's rows depend on: runs that differ in it must not be mixed in one table."""

from collections.abc import Mapping
from typing import Any

from mxspark.errors import UsageError
from mxspark.inference.bundle import Bundle
from mxspark.settings.job import InputSettings, OutputSettings, Settings, resolved
from mxspark.settings.model_spec import ModelOutput

# Settings of the input that no ok row depends on: what counts as right, and limits, which only decide what fails or is
# refused. So --retry-failed with other limits can't mix results.
NOT_IN_IDENTITY = {
    "allow_outside",
    "sandbox",
    "true_label",
    "max_bytes",
    "max_manifest_bytes",
    "max_pixels",
    "max_frames",
    "formats",
    "max_decode_seconds",
    "max_decode_memory",
}


def identity(settings: Settings, model: Bundle) -> dict[str, Any]:
    """The settings and digests that rows depend on, as the plan keeps them."""
    output = settings.output
    vectors = {"vector_type": output.vector_type, "l2_normalize": output.l2_normalize}
    return {
        "input": settings.input.model_dump(mode="json", exclude=NOT_IN_IDENTITY) | _absolute_places(settings.input),
        "format": output.format,
        "model": model.digest,
        "precision": settings.precision,
        "top_k": settings.top_k,
    } | (vectors if model.spec.output.vectors else {})


def has_vectors(recorded: Mapping[str, Any]) -> bool:
    """Whether the table of a plan with this identity has columns of vectors."""
    return "vector_type" in recorded


def check_columns(output: OutputSettings, model: ModelOutput) -> None:
    """Raises UsageError where settings of the table don't go with what the model gives."""
    if model.vectors and output.format == "text":
        raise UsageError(
            "output.format is text, whose lines have classes and probabilities, but the model gives vectors "
            f"({', '.join(model.vectors)})",
            "Write them as parquet or jsonl (--format).",
        )
    if not model.vectors and (output.l2_normalize or output.vector_type != "float32"):
        raise UsageError(
            "output.l2_normalize and output.vector_type are about vectors, but the model gives only classes",
            "Leave them out, or have vectors written: model.output_kind vector, or model.output_also.",
        )


def comparable(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's identity without what a command doesn't say: the digest of the model that was made for its precision,
    and settings that earlier versions recorded too.
    """
    return {
        **{name: value for name, value in recorded.items() if name != "optimized"},  # which follows from the rest
        "input": {name: value for name, value in recorded.get("input", {}).items() if name not in NOT_IN_IDENTITY},
    }


def with_absolute_places(settings: Settings) -> Settings:
    """The settings with places that mean the same in another working folder, as that of a worker may be."""
    places = _absolute_places(settings.input)
    if isinstance(places["path"], list):
        places["path"] = tuple(places["path"])  # as the setting has several
    output = settings.output.model_copy(update={"path": resolved(settings.output.path)})
    return settings.model_copy(update={"input": settings.input.model_copy(update=places), "output": output})


def _absolute_places(chosen: InputSettings) -> dict[str, Any]:
    """Where the images are, the same from every working folder."""
    paths = [resolved(path) for path in chosen.paths]
    return {"path": paths if len(paths) > 1 else paths[0], "base": chosen.base and resolved(chosen.base)}
