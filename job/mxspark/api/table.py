"""`mxspark.read`: the table that a run wrote."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from mxspark.dataset import output as outputs
from mxspark.dataset import plan, predictions
from mxspark.dataset.plan import Plan
from mxspark.errors import UsageError
from mxspark.settings import document
from mxspark.settings.job import StorageSettings, resolved
from mxspark.storage import Access, Store, join, open_output, usage_errors
from mxspark.text.words import counted

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import DataFrame

Kind = Literal["pandas", "arrow", "spark"]
KINDS = ("pandas", "arrow", "spark")


@overload
def read(
    output: str | os.PathLike[str],
    as_: Literal["pandas"] = ...,
    *,
    unfinished: bool = ...,
    storage: dict[str, Any] | None = ...,
) -> "pd.DataFrame": ...
@overload
def read(
    output: str | os.PathLike[str],
    as_: Literal["arrow"],
    *,
    unfinished: bool = ...,
    storage: dict[str, Any] | None = ...,
) -> "pa.Table": ...
@overload
def read(
    output: str | os.PathLike[str],
    as_: Literal["spark"],
    *,
    unfinished: bool = ...,
    storage: dict[str, Any] | None = ...,
) -> "DataFrame": ...
def read(
    output: str | os.PathLike[str],
    as_: Kind = "pandas",
    *,
    unfinished: bool = False,
    storage: dict[str, Any] | None = None,
) -> Any:
    """The table in a run's output: a folder or s3://bucket/prefix, of any format that `run` writes.

    pandas and Arrow read it into memory, by mxspark's own access to storage, which `storage` may set as in a settings
    file (`{"endpoint_url": …}`). Spark reads where it is, in the active session: its executors have to reach the
    place, s3:// as Hadoop's s3a.

    Raises UsageError where there is no run, or one that has not ended with success or lacks parts: `unfinished` takes
    the rows that are there.
    """
    if as_ not in KINDS:
        raise UsageError(f"mxspark.read: as_ is {as_!r}", f"Give one of {', '.join(KINDS)}.")
    location = os.fspath(output)
    access = Access(document.parse(StorageSettings, storage or {}, "mxspark.read: storage"))
    store = open_output(location, access)
    with usage_errors("mxspark.read", "Check the place."):
        frozen = plan.load(store)
        if frozen is None:
            raise UsageError(f"{location}: no run has a plan here", "Name the output of a run.")
        if not unfinished and not store.has(outputs.SUCCESS):
            raise UsageError(
                f"{location}: the run has not ended with success",
                "Run it again, which resumes it, or read the rows that are there: unfinished=True.",
            )
        kind = _format(store, frozen)
        shards = predictions.planned_shards(store, kind, frozen.shards)
        if not unfinished and (lacks := frozen.shards - len(shards)):
            raise UsageError(
                f"{location}: the run ended with success, but of its {counted(frozen.shards, 'part')} {lacks:,} "
                f"{'is' if lacks == 1 else 'are'} not there",
                "Copy all of it; or run it again, which makes them; or read what is there: unfinished=True.",
            )
        return _as_spark(location, kind) if as_ == "spark" else _in_memory(store, frozen, shards, as_)


def _in_memory(store: Store, frozen: Plan, shards: Sequence[int], as_: str) -> Any:
    table = predictions.read_table(
        store, _format(store, frozen), shards, frozen.settings["output"].get("vector_type", "float32")
    )
    if as_ == "arrow":
        return table
    try:
        return table.to_pandas()
    except ModuleNotFoundError:
        raise UsageError("pandas is not installed", "pip install 'pandas<3', or take as_='arrow'.") from None


def _as_spark(location: str, output_format: str) -> "DataFrame":
    from mxspark.spark import session

    part = predictions.PARTS[output_format]
    folder, _, prefix = part.prefix.rpartition("/")
    found: DataFrame = session.read(join(resolved(location), folder).rstrip("/"), f"{prefix}*{part.suffix}")
    return found


def _format(store: Store, frozen: Plan) -> str:
    found = frozen.settings.get("output", {}).get("format")
    if found not in predictions.PARTS:
        raise plan.damaged(store)
    return str(found)
